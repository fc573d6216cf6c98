/** Messages as an event source of SQS hands them over, and which of them failed: those alone come again. */
import * as z from 'zod'
import type { Message } from '#core/deps.ts'

const event = z.object({
  Records: z.array(
    z.object({
      messageId: z.string(),
      receiptHandle: z.string(),
      body: z.string(),
      attributes: z.object({ ApproximateReceiveCount: z.coerce.number() }),
    }),
  ),
})
/** Lambda's `ReportBatchItemFailures`: an empty list says that all is done. */
export type BatchReply = { batchItemFailures: { itemIdentifier: string }[] }
/** Works on messages, and says of each that was taken. */
type Work = (messages: Message[], taken: (messages: Message[]) => Promise<void>) => Promise<void>

/** Throws when it was not invoked with messages of SQS: then there is nothing to say about each. */
export async function eachMessage(given: unknown, work: Work): Promise<BatchReply> {
  const { success, data, error } = event.safeParse(given)
  if (!success) {
    throw new Error(`This function takes messages of SQS as "Records":\n${z.prettifyError(error)}`)
  }
  const messages = data.Records.map(record => ({
    id: record.messageId,
    body: record.body,
    receipt: record.receiptHandle,
    receiveCount: record.attributes.ApproximateReceiveCount,
  }))
  const left = new Set(messages.map(({ id }) => id))
  await work(messages, async taken => {
    for (const { id } of taken) left.delete(id)
  })
  return { batchItemFailures: [...left].map(itemIdentifier => ({ itemIdentifier })) }
}
