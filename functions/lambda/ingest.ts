/** The queue of events, as its event source hands it over. */
import { ingestMessages } from '../ingest.ts'
import { type Invocation, invoked, openBase } from '../invocation/base.ts'
import { eachMessage } from '../invocation/batch.ts'
import { openBodies, openFeatures } from '../invocation/stores.ts'

const base = await openBase('ingest')
const deps = { ...base, queueSystem: 'aws_sqs' as const, features: await openFeatures(base) }
const bodies = openBodies(base)

export const handler = (event: unknown, invocation: Invocation) =>
  invoked(base, 'ingest', invocation, () =>
    eachMessage(event, bodies, (messages, taken) => ingestMessages(deps, messages, taken)),
  )
