/** A bulk job on this machine with a real engine and real blobs: the steps that a runner would lease. */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as blobKeys from '#core/blob-keys.ts'
import type { Assignment, Outcome } from '#core/inference/bulk.ts'
import type { ShardInput } from '#core/jobs/jobs.ts'
import { type BulkDeps, runStep } from '#gpu-runners/bulk/bulk.ts'
import type { LoadedModel } from '#gpu-runners/engines/engine.ts'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { newId } from '#schemas/ids.ts'
import type { Batching, Datatype, Signature, TensorSpec } from '#schemas/signature.ts'

export type Planned = Extract<Outcome, { kind: 'plan' }>
export type ShardOutcome = Extract<Outcome, { kind: 'shard' }>
export type Result = {
  index: number
  id?: unknown
  outputs?: Record<string, unknown>
  error?: { code: string; detail: string }
}
export type Workbench = Awaited<ReturnType<typeof openWorkbench>>

const tenantId = newId('tenant')
const never = new AbortController().signal

export async function openWorkbench() {
  const root = await mkdtemp(join(tmpdir(), 'galley-bulk-'))
  const scratch = join(root, 'scratch')
  await mkdir(scratch)
  const blobs = folderBlobs({ root: join(root, 'blobs') })
  const log = { info() {}, error() {} }
  const engine = openOnnxRuntime({ log })
  const models = new Map<string, LoadedModel>()

  async function load(graph: Uint8Array | string, signature: Signature): Promise<LoadedModel> {
    let graphPath = graph as string
    if (typeof graph !== 'string') {
      graphPath = join(root, `${models.size}.onnx`)
      await writeFile(graphPath, graph)
    }
    const digest = String(models.size).padStart(64, '0')
    const model = await engine.load({ digest, graphPath, signature }, { lane: 'bulk' })
    models.set(digest, model)
    return model
  }

  async function store(bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<string> {
    const sha256 = createHash('sha256').update(String(Math.random())).digest('hex')
    await blobs.put(blobKeys.file(tenantId, sha256), bytes)
    return sha256
  }

  /** A job over a stored file, step by step. */
  function job(model: LoadedModel, sha256: string, format: 'jsonl' | 'parquet' = 'jsonl') {
    const runId = newId('run')
    const deps: BulkDeps = {
      blobs,
      log,
      clock: { now: Date.now },
      scratch,
      hardware: 'cpu',
      withModel: (_, work) => work(model),
    }
    const lease = (kind: Assignment['kind'], rest: Partial<Assignment> = {}): Assignment => ({
      status: 'leased',
      tenantId,
      runId,
      stepId: newId('step'),
      epoch: 1,
      kind,
      number: 0,
      input: {},
      spec: {
        model: 'm',
        version: 1,
        digest: model.digest,
        input: { sha256, format, size: 0 },
      },
      model: {
        model: 'm',
        version: 1,
        digest: model.digest,
        manifest: { graph: 'model.onnx', files: [] },
        signature: model.signature,
      },
      parts: [],
      ...rest,
    })
    const steps = {
      prefix: `${tenantId}/runs/${runId}/`,
      plan: (signal = never) => runStep(deps, lease('plan'), signal) as Promise<Planned>,
      shard: (number: number, input: ShardInput, signal = never) =>
        runStep(deps, lease('shard', { number, input }), signal) as Promise<ShardOutcome>,
      merge: (parts: string[]) =>
        runStep(deps, lease('merge', { parts }), never) as Promise<
          Extract<Outcome, { kind: 'merge' }>
        >,
      async run(planned?: Planned) {
        const plan = planned ?? (await steps.plan())
        const shards: ShardOutcome[] = []
        for (const [number, input] of plan.shards.entries()) {
          shards.push(await steps.shard(number, input))
        }
        const merged = await steps.merge(shards.map(shard => shard.key))
        return { plan, shards, merged }
      },
    }
    return steps
  }

  async function bytes(key: string): Promise<Buffer> {
    const { body } = (await blobs.get(key))!
    const chunks: Uint8Array[] = []
    for await (const chunk of body) chunks.push(chunk)
    return Buffer.concat(chunks)
  }
  const text = async (key: string) => (await bytes(key)).toString()

  return {
    root,
    blobs,
    load,
    store,
    job,
    scratch,
    bytes,
    text,
    fileKey: (sha256: string) => blobKeys.file(tenantId, sha256),
    /** The results of a whole job over JSONL text. */
    async results(model: LoadedModel, input: string | Uint8Array): Promise<Result[]> {
      const bytes = typeof input === 'string' ? Buffer.from(input) : input
      const { merged } = await job(model, await store(bytes)).run()
      return parseLines(await text(merged.key))
    },
    leftovers: () => readdir(scratch),
    async close() {
      await engine.close()
      await rm(root, { recursive: true, force: true })
    },
  }
}

export function parseLines(text: string): Result[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))
}

export function spec(
  name: string,
  datatype: Datatype,
  shape: number[],
  axis: number | null = shape.length > 0 ? 0 : null,
): TensorSpec {
  return { name, datatype, shape, batch_axis: axis }
}

export function signature(
  inputs: TensorSpec[],
  outputs: TensorSpec[],
  batching: Batching = 'invariant',
): Signature {
  return { inputs, outputs, batching }
}
