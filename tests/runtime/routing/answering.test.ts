/** From a name to an answer while versions change: who answers when a candidate fails, and what is noted of it. */
import { expect, test } from 'vitest'
import type { InferenceCall, InferenceReply, Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import type { ModelDirectory } from '#edge/models.ts'
import { Answering, withoutRollout } from '#edge/rollouts/answering.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import type { RolloutPlan } from '#schemas/rollout.ts'
import { systemClock as clock } from '#tests/caller.ts'
import { caller, callFor } from './scene.ts'

const signer = await openSigner(
  'edge',
  await placeKey('a secret of this test, as long as any', 'edge'),
)
const { tenantId } = caller.caller
const version = (number: number): Servable => ({
  ...callFor('').model,
  version: number,
  digest: String(number).repeat(64),
})
const [one, two] = [version(1), version(2)]
type Told = Record<string, never>

/** Versions that answer as the test says, and what the control API is told. */
function scene(answer: (call: InferenceCall) => Promise<number>) {
  const told: { path: string; body: Told }[] = []
  const background: Promise<unknown>[] = []
  const asked: number[] = []
  const router = {
    async infer(call: InferenceCall): Promise<InferenceReply> {
      asked.push(call.model.version)
      const named = await answer(call)
      const body = Buffer.from(`{"model_name":"m","model_version":"${named}","outputs":[]}`)
      return { body, jsonLength: null, receiptId: 'rcp', computeUs: 1 }
    },
  }
  const deps = {
    router: router as never,
    functions: {
      async fetch(request: Request) {
        const { pathname } = new URL(request.url)
        told.push({ path: pathname, body: (await request.json()) as Told })
        return Response.json({ running: true })
      },
    },
    signer,
    clock,
    background: (work: Promise<unknown>) => void background.push(work),
  }
  const answering = new Answering(deps, {} as ModelDirectory)
  return {
    answering,
    asked,
    ended: () => Promise.all(background),
    told: (path: string) => told.filter(each => each.path === path).map(({ body }) => body),
  }
}

const asking = (more: Partial<InferenceCall> = {}) => {
  const { model: _, ...asked } = { ...callFor(''), ...more }
  return asked
}
const canary = {
  id: 'rol_1',
  mode: 'canary',
  percent: 100,
  candidate: two,
} as RolloutPlan<Servable>
const tried = { model: two, stable: one, rollout: canary }
const OBSERVED = '/internal/models/rollout-observed'

/** Errors and requests of the candidate, as they are told. */
async function candidateOf(its: ReturnType<typeof scene>) {
  await its.ended()
  const [body] = its.told(OBSERVED)
  const { requests, errors } = (body as unknown as Seen | undefined)?.seen.candidate ?? {}
  return { requests, errors }
}
type Seen = { seen: { candidate: { requests: number; errors: number } } }

test('where a candidate fails the version before answers, and the failure is the candidate’s', async () => {
  const its = scene(async ({ model }) => {
    if (model.version === 2) throw new AppError('inference_failed')
    return 1
  })
  const { model } = await its.answering.run(tried, asking(), null)
  expect([model.version, its.asked]).toEqual([1, [2, 1]])
  expect(await candidateOf(its)).toEqual({ requests: 1, errors: 1 })
})

test('what the version before refuses as well is no failure of the candidate', async () => {
  const its = scene(async () => {
    throw new AppError('invalid_input', { public: 'No.' })
  })
  await expect(its.answering.run(tried, asking(), null)).rejects.toMatchObject({
    code: 'invalid_input',
  })
  await its.ended()
  expect([its.asked, its.told(OBSERVED)]).toEqual([[2, 1], []])
})

test('a caller who left, and one whose time is over, is not asked for again; only the latter counts', async () => {
  const left = scene(async () => {
    throw new AppError('canceled')
  })
  await expect(left.answering.run(tried, asking(), null)).rejects.toMatchObject({
    code: 'canceled',
  })
  await left.ended()
  expect([left.asked, left.told(OBSERVED)]).toEqual([[2], []])
  const late = scene(async () => {
    throw new AppError('deadline_exceeded')
  })
  const deadline = clock.now() - 1
  await expect(late.answering.run(tried, asking({ deadline }), null)).rejects.toMatchObject({
    code: 'deadline_exceeded',
  })
  expect(late.asked).toEqual([2])
  expect(await candidateOf(late)).toEqual({ requests: 1, errors: 1 })
})

test('a switch is told what both versions answered, what failed on our side, and answers that name another version', async () => {
  const its = scene(async ({ model, body }) => {
    const wanted = Buffer.from(body).toString()
    if (wanted === 'fails') throw new AppError('unavailable')
    if (wanted === 'refused') throw new AppError('invalid_input', { public: 'No.' })
    return wanted === 'mixed' ? 3 - model.version : model.version
  })
  const { watch } = its.answering
  const about = { tenantId, model: one.model, alias: 'champion' }
  watch.begin({ ...about, id: 'swi_1' as never, from: 1, to: 2 })
  const ask = (model: Servable, body: string, of: TenantId = tenantId) => {
    const asked = asking({ body: Buffer.from(body) })
    asked.call = { ...asked.call, caller: { ...caller.caller, tenantId: of } }
    return its.answering.run(withoutRollout(model), asked, null).catch(() => {})
  }
  for (const model of [one, two, two]) await ask(model, 'well')
  for (const body of ['fails', 'refused', 'mixed']) await ask(two, body)
  await ask(two, 'fails', newId('tenant'))
  await ask(version(3), 'well')
  // The next one of the same alias ends it before its time.
  watch.begin({ ...about, id: 'swi_2' as never, from: 2, to: 1 })
  await ask(one, 'well')
  watch.begin({ ...about, id: 'swi_3' as never, from: 1, to: 2 })
  const observed = () => its.told('/internal/models/switch-observed')
  await expect.poll(observed).toMatchObject([
    { id: 'swi_1', seen: { answered_from: 1, answered_to: 3, dropped: 1, mixed: 1 } },
    { id: 'swi_2', seen: { answered_from: 0, answered_to: 1, dropped: 0, mixed: 0 } },
  ])
})
