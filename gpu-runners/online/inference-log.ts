/**
 * What a runner logs of its answers, for models whose tenant keeps a sample: put together once the replies
 * of its turn have left, sent every second, bounded. What cannot be kept is dropped and counted; a reply
 * waits for none of it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Log } from '#core/deps.ts'
import type { Logged } from '#core/inference/log/log.ts'
import { tensorsText } from '#core/inference/log/tensors-text.ts'
import type { InferRequest } from '#core/inference/oip.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import type { Receipt } from '#core/usage/receipt.ts'
import type { Control } from '#gpu-runners/control.ts'
import type { Amount, Vector } from '#platform/metrics/registry.ts'
import type { LogSetting } from '#schemas/serving.ts'
import type { Shared } from './messages.ts'

/** Of one request's tensors, as JSON. */
const RECORD_CHARS_MAX = 262_144
const BUFFER_CHARS_MAX = 16 * 2 ** 20
const BATCH_CHARS_MAX = 2 ** 20
const SEND_EVERY_MS = 1_000
/** Longer, and an erasure that has looked twice by then could miss it. */
const TOLD_WITHIN_MS = 30_000
const SUBJECT_CHARS_MAX = 256
/** A path with the source and the id of an event has room. */
const FEATURES_CHARS_MAX = 2_048

export type Answered = { request: InferRequest; outputs: readonly Tensor[] }
export type InferenceLog = {
  /** For models with the setting. */
  note(shared: Shared, receipt: Omit<Receipt, 'requests'>, answered: Answered): void
  close(): Promise<void>
}
type Noted = { shared: Shared; receipt: Omit<Receipt, 'requests'>; answered: Answered }

export function openInferenceLog(
  deps: { control: Pick<Control, 'askJson'>; clock: Clock; log: Log },
  outcomes: Vector<Amount>,
): InferenceLog {
  let noted: Noted[] = []
  let waiting: { text: string; at: number }[] = []
  let waitingChars = 0
  let stopped = false
  const stop = new AbortController()
  const count = (outcome: string, by = 1) => outcomes.of(outcome).add(by)

  /** Behind the replies of this turn, so that what they are made of is not held for longer. */
  function write(): void {
    const some = noted
    noted = []
    for (const each of some) {
      const logged = loggedOf(each)
      if (typeof logged === 'string') {
        count(logged)
        continue
      }
      const text = JSON.stringify(logged)
      if (text.length > RECORD_CHARS_MAX) count('too_large')
      else if (waitingChars + text.length > BUFFER_CHARS_MAX) count('full')
      else {
        waiting.push({ text, at: deps.clock.now() })
        waitingChars += text.length
      }
    }
  }

  function take(): { text: string; at: number }[] {
    let chars = 0
    let end = 0
    while (end < waiting.length && chars < BATCH_CHARS_MAX) chars += waiting[end++]!.text.length
    waitingChars -= chars
    return waiting.splice(0, end)
  }

  async function send(): Promise<void> {
    while (waiting.length > 0) {
      const some = take()
      const { at } = some[0]!
      const late = AbortSignal.timeout(TOLD_WITHIN_MS)
      try {
        const records = some.map(({ text }) => text)
        await deps.control.askJson('/internal/inferences', `{"records":[${records}]}`, late)
        count('kept', some.length)
      } catch (error) {
        const isLate = stopped || deps.clock.now() - at > TOLD_WITHIN_MS
        if (isLate) {
          count('not_told', some.length)
          deps.log.error('runner.inferences_lost', { records: some.length, error: String(error) })
        } else {
          waiting = [...some, ...waiting]
          for (const { text } of some) waitingChars += text.length
          return
        }
      }
    }
  }

  async function sending(): Promise<void> {
    while (!stopped) {
      await sleep(SEND_EVERY_MS, undefined, { signal: stop.signal }).catch(() => {})
      await send()
    }
  }

  const running = sending()
  return {
    note(shared, receipt, answered) {
      const { sample } = shared.model.serving!.inference_log!
      if (!isSampled(receipt.id, sample)) return
      if (noted.length === 0) setImmediate(write)
      noted.push({ shared, receipt, answered })
    },
    async close() {
      stopped = true
      // Of the last turn too.
      write()
      stop.abort()
      await running
    },
  }
}

/** By the receipt's digest, which is of the request: done twice, it is logged both times or never. */
function isSampled(receiptId: string, sample: number): boolean {
  return Number.parseInt(receiptId.slice(-12), 16) < sample * 2 ** 48
}

/** A text: why it is not kept. */
function loggedOf({ shared, receipt, answered }: Noted): Logged | 'no_subject' | 'too_large' {
  const { caller, model } = shared
  const { parameters, inputs, rows } = answered.request
  const setting = model.serving!.inference_log!
  const subject = subjectOf(setting, parameters)
  // What could not be found again when somebody asks to be forgotten is not kept.
  if (setting.subject && subject === null) return 'no_subject'
  const texts = [tensorsText(inputs), tensorsText(answered.outputs)]
  if (texts.some(text => text.length > RECORD_CHARS_MAX)) return 'too_large'
  const features = parameters.features
  return {
    tenantId: caller.tenantId,
    id: receipt.work,
    model: model.model,
    version: model.version,
    digest: model.digest,
    at: receipt.at,
    keyId: caller.keyId,
    receipt: receipt.id,
    features: typeof features === 'string' ? features.slice(0, FEATURES_CHARS_MAX) : null,
    subjectEntity: setting.subject?.entity ?? null,
    subject,
    rows,
    inputs: texts[0]!,
    outputs: texts[1]!,
  }
}

function subjectOf({ subject }: LogSetting, parameters: InferRequest['parameters']) {
  if (!subject || !Object.hasOwn(parameters, subject.parameter)) return null
  const key = String(parameters[subject.parameter])
  return key === '' || key.length > SUBJECT_CHARS_MAX ? null : key
}
