/** What AWS must allow for each call that our drivers make, and which calls each place makes. */
import type { FunctionName } from '../../../../schemas/cloud/functions.ts'
import type { PoolName } from '../../../../schemas/cloud/pools.ts'

/** Without leave to list, what is not there looks like what is forbidden. */
const READS = ['s3:GetObject', 's3:ListBucket', 'kms:Decrypt']
const WRITES = ['s3:PutObject', 'kms:GenerateDataKey']

/** By the command of the SDK: actions of IAM, as AWS's service authorization reference and its pages on KMS have them. */
export const ACTIONS: Record<string, string[]> = {
  SendMessageBatch: ['sqs:SendMessage', 'kms:GenerateDataKey', 'kms:Decrypt'],
  ReceiveMessage: ['sqs:ReceiveMessage', 'kms:Decrypt'],
  DeleteMessageBatch: ['sqs:DeleteMessage'],
  ChangeMessageVisibility: ['sqs:ChangeMessageVisibility'],
  GetQueueAttributes: ['sqs:GetQueueAttributes'],
  HeadObject: READS,
  GetObject: READS,
  ListObjectsV2: ['s3:ListBucket'],
  PutObject: WRITES,
  CreateMultipartUpload: WRITES,
  UploadPart: [...WRITES, 'kms:Decrypt'],
  UploadPartCopy: [...READS, ...WRITES],
  CompleteMultipartUpload: [...WRITES, 'kms:Decrypt'],
  CopyObject: [...READS, ...WRITES],
  AbortMultipartUpload: ['s3:AbortMultipartUpload'],
  DeleteObject: ['s3:DeleteObject'],
  GetSecretValue: ['secretsmanager:GetSecretValue', 'kms:Decrypt'],
  DescribeServices: ['ecs:DescribeServices'],
  UpdateService: ['ecs:UpdateService'],
  // Where GALLEY_FUNCTIONS_URL begins with lambda://; the stacks go by the gateway.
  Invoke: ['lambda:InvokeFunction'],
  // Asked of the agent beside a task, which asks ECS with the role of the task.
  TaskProtection: ['ecs:GetTaskProtection', 'ecs:UpdateTaskProtection'],
}
const SEND = ['SendMessageBatch', 'PutObject']
/** Lambda does it for an event source, with the role of the function. */
const FROM_SOURCE = ['ReceiveMessage', 'DeleteMessageBatch', 'GetQueueAttributes']
const BLOBS = Object.keys(ACTIONS).filter(call =>
  ACTIONS[call]!.some(action => action.startsWith('s3:')),
)
const SECRETS = ['GetSecretValue']
const WORK = [
  ...['ReceiveMessage', 'DeleteMessageBatch', 'ChangeMessageVisibility'],
  ...BLOBS,
  'TaskProtection',
]

/** By the name of the role. */
export const PLACES: Record<FunctionName | `runner-${PoolName}`, string[]> = {
  // Sends dead messages back too.
  api: [
    ...SECRETS,
    ...SEND,
    ...BLOBS,
    'ReceiveMessage',
    'DeleteMessageBatch',
    'GetQueueAttributes',
  ],
  ingest: [...SECRETS, ...FROM_SOURCE, 'GetObject'],
  verify: [...SECRETS, ...FROM_SOURCE, 'ChangeMessageVisibility', ...BLOBS],
  relay: [...SECRETS, ...SEND],
  sweep: SECRETS,
  capacity: [...SECRETS, 'DescribeServices', 'UpdateService'],
  tend: [...SECRETS, ...BLOBS],
  migrate: SECRETS,
  'runner-cpu': WORK,
  'runner-gpu': WORK,
}
/** Calls of no place of the stacks. */
export const NOBODY = ['Invoke']
