/** A batch's file before anything of it is run: every line is a request, and all ask the same model. */
import type { Blobs } from '#core/deps.ts'
import type { Outcome } from '#core/inference/batches/batches.ts'
import { eachLine } from '#gpu-runners/bulk/codec/each-line.ts'
import { opened, withChunks } from '#gpu-runners/bulk/parts.ts'
import { planJsonl } from '#gpu-runners/bulk/plan.ts'

type Wrong = { code: string; message: string; line: number | null; param: string | null }

/** As OpenAI has it. */
const REQUESTS_MAX = 50_000
const ERRORS_MAX = 100
const CUSTOM_ID_CHARS_MAX = 512
/** Requests of a text each take seconds by the thousand: that much a lost runner costs. */
const SHARD_LIMITS = { rows: 1_000, bytes: 8 * 2 ** 20, shards: 4_096 }

export async function planBatch(
  blobs: Pick<Blobs, 'get'>,
  { key, endpoint }: { key: string; endpoint: string },
  signal: AbortSignal,
): Promise<Outcome> {
  const found = await checked(blobs, key, endpoint, signal)
  if (found.errors.length > 0) return { kind: 'batch_refusal', errors: found.errors }
  const { rows, shards } = await planJsonl(blobs, key, signal, SHARD_LIMITS)
  return { kind: 'batch_plan', model: found.model, rows, shards }
}

async function checked(
  blobs: Pick<Blobs, 'get'>,
  key: string,
  endpoint: string,
  signal: AbortSignal,
): Promise<{ model: string; errors: Wrong[] }> {
  const check = checker(endpoint)
  const input = await opened(blobs, key)
  await withChunks(input, signal, read => eachLine(true, read, check.line))
  return check.end()
}

function checker(endpoint: string) {
  const errors: Wrong[] = []
  const ids = new Set<string>()
  let model: string | null = null
  let line = 0

  function wrong(code: string, message: string, param: string | null = null): void {
    if (errors.length < ERRORS_MAX) errors.push({ code, message, line, param })
  }

  function request(given: Record<string, unknown>): void {
    const { custom_id: id, method, url, body } = given
    if (typeof id !== 'string' || id === '' || id.length > CUSTOM_ID_CHARS_MAX) {
      const text = `"custom_id" must be a text of 1 to ${CUSTOM_ID_CHARS_MAX} characters.`
      wrong('invalid_custom_id', text, 'custom_id')
    } else if (ids.has(id)) {
      wrong('duplicate_custom_id', `"${id}" is the custom_id of an earlier line too.`, 'custom_id')
    } else ids.add(id)
    if (method !== 'POST') wrong('invalid_method', '"method" must be "POST".', 'method')
    if (url !== endpoint)
      wrong('invalid_url', `"url" must be "${endpoint}", as the batch says.`, 'url')
    if (body === null || typeof body !== 'object' || Array.isArray(body)) {
      wrong('invalid_body', '"body" must be the JSON object of a request.', 'body')
      return
    }
    const asked = (body as Record<string, unknown>).model
    if (typeof asked !== 'string')
      wrong('missing_model', '"body.model" names no model.', 'body.model')
    else if (model === null) model = asked
    else if (asked !== model) {
      const text = `All requests of a batch ask one model: the first "${model}", this one "${asked}".`
      wrong('mismatched_model', text, 'body.model')
    }
  }

  return {
    line(text: string | { detail: string }): void {
      line++
      if (line > REQUESTS_MAX) return
      if (typeof text !== 'string') {
        wrong('invalid_json_line', text.detail)
        return
      }
      let given: unknown
      try {
        given = JSON.parse(text)
      } catch (error) {
        wrong('invalid_json_line', `The line is not JSON: ${(error as Error).message}.`)
        return
      }
      if (given !== null && typeof given === 'object' && !Array.isArray(given)) {
        request(given as Record<string, unknown>)
      } else wrong('invalid_json_line', 'The line is JSON, but no object.')
    },
    end(): { model: string; errors: Wrong[] } {
      const rows = line
      if (rows === 0) {
        const message = 'The file holds no request.'
        errors.push({ code: 'empty_file', message, line: null, param: null })
      }
      if (rows > REQUESTS_MAX) {
        const message = `The file has ${rows} requests; ${REQUESTS_MAX} is the most of a batch.`
        errors.push({ code: 'too_many_requests', message, line: null, param: null })
      }
      return { model: model ?? '', errors }
    },
  }
}
