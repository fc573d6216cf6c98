/**
 * From history to models: a training set of past payments, the same small network fitted with and without
 * velocity, both published, and their scores for payments that neither has seen, by bulk jobs.
 */
import { join } from 'node:path'
import { saveResults, withFile } from '#sdk/node.ts'
import { ROWS } from '../../examples/fraud/definitions.ts'
import { question } from '../../examples/fraud/events.ts'
import { fit, type Rows, toOnnx } from '../../examples/fraud/network.ts'
import type { Payment } from '../../examples/fraud/payment.ts'
import { count, dayOf, type Scene, SPANS } from './scene.ts'
import { columnsOf, writeParquet } from './table.ts'
import { makeTrainingSet } from './training-set.ts'

/** One honest payment of so many is learned from, and weighs as much as they did. */
const HONEST_OF = 5
const EPOCHS = 12
const HIDDEN = [24, 12]

export type Kind = keyof typeof ROWS
/** `fit`: learned from; `choose`: thresholds are chosen on it; `held`: judges. */
type Part = 'fit' | 'choose' | 'held'
export type Scored = { label: number; attack: string | null; amount: number; score: number }

export async function makeHistorySet(scene: Scene, folder: string): Promise<string> {
  const path = join(folder, 'history.parquet')
  // History was told after it happened: nothing of it was known at its time, all of it is now.
  const mode = 'as_corrected'
  const asked = { service: 'fraud', questions: questionsOf(scene), mode } as const
  const made = await makeTrainingSet(scene.galley, asked, path)
  scene.say(`  ${count(made.rows)} questions answered in ${made.seconds.toFixed(1)} s`)
  return path
}

export async function learn(scene: Scene, set: string, kind: Kind): Promise<void> {
  const data = await dataOf(set, ROWS[kind])
  const began = performance.now()
  const network = fit(data, {
    seed: scene.size.seed,
    epochs: EPOCHS,
    balance: HONEST_OF,
    hidden: HIDDEN,
  })
  const seconds = ((performance.now() - began) / 1_000).toFixed(1)
  await scene.galley.publish(modelOf(kind), { 'fraud.onnx': toOnnx(network) })
  const frauds = data.labels.reduce((sum, label) => sum + label, 0)
  scene.say(
    `  ${modelOf(kind)}: ${data.width} features, ${count(data.labels.length)} payments, ${count(frauds)} frauds, ${seconds} s`,
  )
}

/** Scores of what was not learned from. */
export async function score(scene: Scene, set: string, kind: Kind, folder: string) {
  const asked = join(folder, `${kind}.parquet`)
  const result = join(folder, `${kind}-scores.parquet`)
  await writeParquet(
    `select [${shown(ROWS[kind])}] as features ${from(set, `part != 'fit'`)}`,
    asked,
  )
  await withFile(asked, async rows => {
    const job = await scene.galley.jobs.run({ model: modelOf(kind), format: 'parquet', rows })
    await saveResults(scene.galley, job.id, result)
  })
  const [labels, attacks, amounts, parts] = await columnsOf(
    `select label, attack, amount::double, part ${from(set, `part != 'fit'`)}`,
  )
  const [scores] = await columnsOf(`select score[1] from read_parquet('${result}') order by index`)
  const all = scores!.map((score, i) => ({
    part: parts![i] as Part,
    label: Number(labels![i]),
    attack: attacks![i] as string | null,
    amount: amounts![i] as number,
    score: score as number,
  }))
  const of = (part: Part): Scored[] => all.filter(each => each.part === part)
  return { choose: of('choose'), held: of('held') }
}

function modelOf(kind: Kind): string {
  return kind === 'velocity' ? 'fraud' : 'fraud-without-velocity'
}

function* questionsOf({ stream, past, shift }: Scene) {
  for (const [i, payment] of stream.entries()) {
    if (i === past) return
    const part = partOf(payment, i)
    if (part === null) continue
    const { attack } = payment
    yield { ...question(payment, shift), label: attack === null ? 0 : 1, attack, part }
  }
}

function partOf(payment: Payment, i: number): Part | null {
  const day = dayOf(payment)
  if (day >= SPANS.heldOut) return 'held'
  if (day < SPANS.first || day >= SPANS.known) return null
  if (day >= SPANS.choose) return 'choose'
  return payment.attack !== null || i % HONEST_OF === 0 ? 'fit' : null
}

async function dataOf(set: string, names: readonly string[]): Promise<Rows> {
  const width = names.length
  const [labels, ...values] = await columnsOf(
    `select label, ${shown(names)} ${from(set, `part = 'fit'`)}`,
  )
  const rows = new Float32Array(labels!.length * width)
  for (const [j, column] of values.entries()) {
    for (const [i, value] of column.entries()) rows[i * width + j] = value as number
  }
  return { rows, width, labels: Uint8Array.from(labels!, Number) }
}

/** Values as an endpoint shows them to its model: FP32, 0 for what is missing. */
function shown(names: readonly string[]): string {
  return names.map(name => `coalesce(${name}, 0)::float`).join(', ')
}

function from(set: string, where: string): string {
  return `from read_parquet('${set}') where ${where}`
}
