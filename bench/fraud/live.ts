/** A rush of payments, decided as they come. */
import { dataOf, paymentEvent } from '../../examples/fraud/events.ts'
import { rush } from '../../examples/fraud/live.ts'
import type { Payment } from '../../examples/fraud/payment.ts'
import type { OpenLoad } from '../live/load-open.ts'
import { type Asked, type Decided, decide } from './decide.ts'
import { count, type Scene } from './scene.ts'
import { sendEvents } from './send.ts'

export type PaymentDecided = Decided<Asked & { payment: Payment }>
export type Live = { load: OpenLoad; decided: PaymentDecided[]; measured: PaymentDecided[] }

/** Nobody has read a feature or asked the model before: processes warm up on payments of their own. */
const WARM = { seconds: 3, rate: 50 }

export async function decideLive(
  { product, galley, world, stream, past, shift, size, say }: Scene,
  folder: string,
  o: { rate: number; seconds: number; attacks: number },
): Promise<Live> {
  const start = Date.now() * 1_000 - shift
  const spare = WARM.seconds * WARM.rate
  const seconds = o.seconds + spare / o.rate
  const made = rush(world, { ...o, seconds, seed: size.seed, start })
  const meanwhile = stream.slice(past).filter(({ time }) => time < start)
  const told = [...meanwhile, ...made.before]
  await sendEvents(galley, told, payment => paymentEvent(payment, shift))
  say(`  ${count(told.length)} payments have happened meanwhile`)
  const asked = made.live.map(payment => ({ id: payment.id, data: dataOf(payment), payment }))
  const common = { endpoint: 'fraud', folder }
  const warm = await decide(product, asked.slice(0, spare), { ...common, rate: WARM.rate })
  const { load, decided } = await decide(product, asked.slice(spare), { ...common, rate: o.rate })
  return { load, decided: [...warm.decided, ...decided], measured: decided }
}
