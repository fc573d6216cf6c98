/** Files of batches: the form is read as it comes, and its file goes to the blobs piece by piece. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import { wrong } from '#core/inference/embeddings/embeddings.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'
import { boundaryOf, type FormPart, formParts, textOf } from '../multipart.ts'

/** Where the bytes go, as the control API says. */
export type FileGrant = { id: string; key: string; sizeMax: number }

const FIELD_BYTES_MAX = 1_024
const FIELDS_MAX = 16

export async function store(
  deps: EdgeDeps,
  c: Context,
  call: Call,
  { id, key, sizeMax }: FileGrant,
): Promise<Response> {
  const boundary = boundaryOf(deps.http.header(c, 'content-type'))
  const fields: Record<string, string> = {}
  let file: { filename: string; size: number } | null = null
  let count = 0
  for await (const part of formParts(deps.http.stream(c), boundary)) {
    if (++count > FIELDS_MAX) throw wrong('', `The form has more than ${FIELDS_MAX} fields.`)
    if (part.name !== 'file') fields[part.name] = await textOf(part, FIELD_BYTES_MAX)
    else if (file) throw wrong('file', 'The form has two files; send one at a time.')
    else file = await storedFile(deps, part, key, sizeMax)
  }
  if (!file) throw wrong('file', 'The form has no field "file".')
  const seconds = fields['expires_after[seconds]']
  const { tenantId } = call.caller
  const expiresInS = seconds === undefined ? null : Number(seconds)
  const about = { tenantId, id, ...file, purpose: fields.purpose ?? null, expiresInS }
  return Response.json(await ask(deps, '/internal/batch-files/store', about))
}

async function storedFile({ blobs }: EdgeDeps, part: FormPart, key: string, sizeMax: number) {
  const { size } = await blobs.put(key, part.body, { sizeMax }).catch(error => {
    if (!(error instanceof AppError) || error.code !== 'payload_too_large') throw error
    throw wrong('file', `The file is larger than ${sizeMax} bytes, the most of a batch's file.`)
  })
  return { filename: part.filename ?? 'file', size }
}
