/** What an operator asks of the functions, signed as the supervisor with the deployment's secret. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '#core/error.ts'
import { openSigner, placeKey, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'

export type Deployment = { url: string; secret: string }

/** Throws what the functions answered, in their own words. */
export async function askFunctions(
  { url, secret }: Deployment,
  path: string,
  input: unknown,
): Promise<unknown> {
  const signer = await openSigner('supervisor', await placeKey(secret, 'supervisor'))
  const body = JSON.stringify(input)
  const claims = { call: null, method: 'POST', path, body: await sha256Hex(body) }
  const token = await signer.sign(claims, Date.now())
  const headers = { [TOKEN_HEADER]: token, 'content-type': 'application/json' }
  const reply = await fetch(new URL(path, url), { method: 'POST', headers, body }).catch(cause => {
    throw new AppError('unavailable', { public: `Nobody answers at ${url}.`, cause })
  })
  if (reply.ok) return reply.json()
  throw new AppError('unavailable', {
    public: `${url} answered ${reply.status}: ${(await reply.text()).slice(0, 300)}`,
  })
}

/** The Galley that runs on a data folder of this machine. */
export function localDeployment(folder: string): Deployment {
  try {
    const { signing_key } = JSON.parse(readFileSync(join(folder, 'secrets.json'), 'utf8'))
    return { url: readFileSync(join(folder, 'run', 'functions.url'), 'utf8'), secret: signing_key }
  } catch (cause) {
    throw new AppError('unavailable', {
      public: `No Galley runs on the data folder ${folder}: name another one with --data, or the functions of a deployment with --functions and its secret on standard input.`,
      cause,
    })
  }
}
