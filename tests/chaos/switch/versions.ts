/** The versions that are switched: each adds a number of its own, so that an answer shows who made it. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { tensor } from '#core/models/onnx/build.ts'
import { unary } from '#tests/models.ts'
import type { Client, Json } from '../client.ts'
import { upload } from '../tenants.ts'

export const MODEL = 'switched'
const COLUMNS = 4
const STEP = 1_000

export type Version = { number: number; digest: string; adds: number }

/** Publishes `count` versions of the model, and waits for their verdicts. */
export async function publishVersions(client: Client, key: string, count: number) {
  const versions: Version[] = []
  for (let i = 1; i <= count; i++) versions.push(await publishOne(client, key, i * STEP))
  return versions
}

/** A version that was judged ready and whose file is lost before any runner has loaded it. */
export async function publishLost(client: Client, key: string, dataFolder: string) {
  const adds = 99 * STEP
  const version = await publishOne(client, key, adds)
  const { manifest } = await client.insist<Json>({
    key,
    method: 'GET',
    path: `/v1/registry/models/${MODEL}/versions/${version.number}`,
  })
  for (const { sha256 } of manifest.files) removeBlob(join(dataFolder, 'blobs'), sha256)
  return version
}

async function publishOne(client: Client, key: string, adds: number): Promise<Version> {
  const { sha256, size } = await upload(client, key, adding(adds), 1)
  const path = `/v1/registry/models/${MODEL}/versions`
  const body = { files: [{ path: 'model.onnx', sha256, size }] }
  const made = await client.insist<Json>({ key, method: 'POST', path, body })
  if (made.state !== 'ready') throw new Error(`version ${made.version} is ${made.state}`)
  return { number: made.version, digest: made.digest, adds }
}

function adding(value: number): Uint8Array {
  return unary(['batch', COLUMNS], ['batch', COLUMNS], graph => {
    graph.initializer('c', tensor('FP32', [1], [value]))
    graph.node('Add', ['x', 'c'], {}, { outputs: ['y'] })
  })
}

/** Small whole numbers: every sum is exact in 32 bits. */
export function question(serial: number, rows: number) {
  const data = Array.from({ length: rows * COLUMNS }, (_, i) => (serial * 7 + i) % STEP)
  return { data, body: { inputs: [{ name: 'x', shape: [rows, COLUMNS], datatype: 'FP32', data }] } }
}

function removeBlob(folder: string, sha256: string): void {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(path =>
    path.includes(sha256),
  )
  for (const path of found) rmSync(join(folder, path), { recursive: true, force: true })
  if (found.length === 0 || found.some(path => existsSync(join(folder, path)))) {
    throw new Error(`the file ${sha256} is not where it was looked for`)
  }
}
