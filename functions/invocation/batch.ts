/** Messages as an event source of SQS hands them over, and which of them failed: those alone come again. */
import * as z from 'zod'
import type { Message } from '#core/deps.ts'
import { type Bodies, POINTER_ATTRIBUTE, saysPointer } from '#platform/queue/bodies.ts'

const event = z.object({
  Records: z.array(
    z.object({
      messageId: z.string(),
      receiptHandle: z.string(),
      body: z.string(),
      attributes: z.object({ ApproximateReceiveCount: z.coerce.number() }),
      messageAttributes: z
        .record(z.string(), z.object({ stringValue: z.string().nullish() }))
        .default({}),
    }),
  ),
})
/** Lambda's `ReportBatchItemFailures`: an empty list says that all is done. */
export type BatchReply = { batchItemFailures: { itemIdentifier: string }[] }
/** Works on messages, and says of each that was taken. */
type Work = (messages: Message[], taken: (messages: Message[]) => Promise<void>) => Promise<void>

/**
 * Throws when it was not invoked with messages of SQS: then there is nothing to say about each. Lambda deletes
 * what was taken, after the reply; a body in a blob stays for the lifecycle rule, so that a message that comes
 * again nevertheless still has it.
 */
export async function eachMessage(
  given: unknown,
  bodies: Pick<Bodies, 'unpack'>,
  work: Work,
): Promise<BatchReply> {
  const { success, data, error } = event.safeParse(given)
  if (!success) {
    throw new Error(`This function takes messages of SQS as "Records":\n${z.prettifyError(error)}`)
  }
  const received = data.Records.map(record => ({
    id: record.messageId,
    body: record.body,
    receipt: record.receiptHandle,
    receiveCount: record.attributes.ApproximateReceiveCount,
    isPointer: saysPointer(record.messageAttributes[POINTER_ATTRIBUTE]?.stringValue ?? undefined),
  }))
  const left = new Set(received.map(({ id }) => id))
  await work(await bodies.unpack(received), async taken => {
    for (const { id } of taken) left.delete(id)
  })
  return { batchItemFailures: [...left].map(itemIdentifier => ({ itemIdentifier })) }
}
