/**
 * Every queue and its settings, as data: the local host, the functions' event sources and the cloud
 * stacks read the same table. Each queue has a dead-letter queue named `<name>-dead`.
 */
export const QUEUES = {
  /** Steps of runs, one message a step; read by runners. */
  work: { visibilityS: 15, receiveCountMax: 100, batchMax: 1 },
  /** Uploaded model versions that wait for validation; read by runners. */
  validate: { visibilityS: 15, receiveCountMax: 20, batchMax: 1 },
  /** Events that were acknowledged, some hundreds a message; read by the functions. */
  events: { visibilityS: 30, receiveCountMax: 50, batchMax: 10 },
} as const satisfies Record<string, QueueSettings>

export type QueueSettings = {
  /** Seconds for which a received message is hidden from other readers. */
  visibilityS: number
  /** Receives after which a message moves to the dead-letter queue: a guard against poison. */
  receiveCountMax: number
  /** Messages per receive. */
  batchMax: number
}
export type QueueName = keyof typeof QUEUES
