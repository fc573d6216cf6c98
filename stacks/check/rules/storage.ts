/** What is kept: encrypted, closed to the public, and not gone by accident. */

import type { Inputs } from '../graph.ts'
import { all, faulty, inputs, one, type Rule, without } from '../rule.ts'
import { change, list, statements } from './access.ts'
import { buckets, ofBucket } from './lifecycle.ts'

export const storage: Rule[] = [
  {
    name: 'everything stored is encrypted with the key of the deployment',
    faults: graph => [
      ...faulty(all(graph, 'sqs/queue'), ({ kmsMasterKeyId }) => !kmsMasterKeyId && NO_KEY),
      ...faulty(all(graph, 'sns/topic'), ({ kmsMasterKeyId }) => !kmsMasterKeyId && NO_KEY),
      ...faulty(all(graph, 'secretsmanager/secret'), ({ kmsKeyId }) => !kmsKeyId && NO_KEY),
      ...faulty(all(graph, 'lambda/function'), ({ kmsKeyArn }) => !kmsKeyArn && NO_KEY),
      ...faulty(
        all(graph, 'rds/instance'),
        each =>
          !(each.storageEncrypted && each.kmsKeyId && each.performanceInsightsKmsKeyId) && NO_KEY,
      ),
      ...faulty(buckets(graph), (_, bucket) => {
        const of = ofBucket(graph, 's3/bucketServerSideEncryptionConfiguration', bucket)
        const rule = of?.rules[0]?.applyServerSideEncryptionByDefault
        // Those who write logs there take no key but S3's own.
        if (bucket.name === 'bucket-logs') return rule?.sseAlgorithm !== 'AES256' && NO_KEY
        return !(rule?.sseAlgorithm === 'aws:kms' && rule.kmsMasterKeyId) && NO_KEY
      }),
    ],
    plants: [
      graph => delete inputs(graph, 'queue-work').kmsMasterKeyId,
      graph => delete inputs(graph, 'alarms').kmsMasterKeyId,
      graph => delete inputs(graph, 'secret-runner').kmsKeyId,
      graph => delete inputs(graph, 'function-api').kmsKeyArn,
      graph => {
        inputs(graph, 'database').storageEncrypted = false
      },
      graph => without(graph, 'bucket-blobs-encryption'),
      graph => without(graph, 'bucket-logs-encryption'),
    ],
  },
  {
    name: 'the key turns every year and cannot be gone within a week',
    faults: graph =>
      faulty(all(graph, 'kms/key'), ({ enableKeyRotation, deletionWindowInDays }) => {
        if (!enableKeyRotation) return 'never turns'
        return !(deletionWindowInDays >= 30) && 'can be deleted within a month'
      }),
    plants: [
      graph => {
        inputs(graph, 'key').enableKeyRotation = false
      },
      graph => {
        inputs(graph, 'key').deletionWindowInDays = 7
      },
    ],
  },
  {
    name: 'no bucket can be made public',
    faults: graph =>
      faulty(buckets(graph), (_, bucket) => {
        const block = ofBucket(graph, 's3/bucketPublicAccessBlock', bucket)
        const open = BLOCKS.filter(name => block?.[name] !== true)
        if (open.length > 0) return `may be opened: ${open}`
        const owner = ofBucket(graph, 's3/bucketOwnershipControls', bucket)
        return owner?.rule.objectOwnership !== 'BucketOwnerEnforced' && 'has lists of access'
      }),
    plants: [
      graph => without(graph, 'bucket-blobs-closed'),
      graph => {
        inputs(graph, 'bucket-blobs-closed').restrictPublicBuckets = false
      },
      graph => without(graph, 'bucket-blobs-owner'),
    ],
  },
  {
    name: 'no bucket answers over plain HTTP',
    faults: graph =>
      faulty(buckets(graph), (_, bucket) => {
        const policy = ofBucket(graph, 's3/bucketPolicy', bucket)?.policy ?? '{"Statement":[]}'
        const refusal = JSON.parse(policy).Statement.find(
          (each: Inputs) =>
            each.Effect === 'Deny' && each.Condition?.Bool?.['aws:SecureTransport'] === 'false',
        )
        return !refusal && 'answers over plain HTTP'
      }),
    plants: [
      graph => without(graph, 'bucket-blobs-policy'),
      graph => {
        const asked = inputs(graph, 'bucket-blobs-policy')
        asked.policy = asked.policy.replace('SecureTransport', 'SecureTransports')
      },
    ],
  },
  {
    name: 'in production nothing that is stored goes with a deployment',
    faults: graph =>
      graph.stage !== 'production'
        ? []
        : [
            ...faulty(all(graph, 'rds/instance'), each => {
              if (!each.deletionProtection) return 'can be deleted'
              if (each.skipFinalSnapshot) return 'is deleted without a snapshot'
              if (each.deleteAutomatedBackups !== false) return 'takes its backups with it'
              return !each.multiAz && 'stands in one zone'
            }),
            ...faulty(buckets(graph), each => each.forceDestroy && 'is emptied to be deleted'),
            ...faulty(
              [...all(graph, 'rds/instance'), ...buckets(graph), ...all(graph, 'kms/key')],
              (_, { isProtected }) =>
                !isProtected && 'goes when somebody takes it out of the stack',
            ),
            ...faulty(
              all(graph, 'secretsmanager/secret'),
              each => !(each.recoveryWindowInDays >= 30) && 'is gone within a month',
            ),
            ...faulty(
              all(graph, 'lb/loadBalancer'),
              each => !each.enableDeletionProtection && 'can be deleted',
            ),
          ],
    plants: [
      graph => {
        inputs(graph, 'database').deletionProtection = false
      },
      graph => {
        inputs(graph, 'database').skipFinalSnapshot = true
      },
      graph => {
        inputs(graph, 'database').multiAz = false
      },
      graph => delete inputs(graph, 'database').deleteAutomatedBackups,
      graph => {
        inputs(graph, 'bucket-blobs').forceDestroy = true
      },
      graph => {
        inputs(graph, 'secret-deployment').recoveryWindowInDays = 0
      },
      graph => {
        inputs(graph, 'router-balancer').enableDeletionProtection = false
      },
      graph => {
        one(graph, 'bucket-blobs').isProtected = false
      },
      graph => {
        one(graph, 'key').isProtected = false
      },
    ],
  },
  {
    name: 'who stores blobs may remove what it made them from',
    faults: graph => {
      const on = (action: string) =>
        statements(graph).filter(of => of.Effect === 'Allow' && list(of.Action).includes(action))
      const removers = on('s3:DeleteObject')
        .filter(({ Resource }) =>
          list(Resource).some(each => /^[^/]+\/(\*|unfinished\/\*)$/.test(each)),
        )
        .map(({ from }) => from)
      return on('s3:PutObject')
        .filter(({ Principal }) => Principal === undefined)
        .filter(({ Resource }) => list(Resource).some(each => !each.endsWith('/messages/*')))
        .filter(({ from }) => !removers.includes(from))
        .map(({ from }) => `${from}: fails on a blob whose digest was not known before its bytes`)
    },
    plants: [
      graph =>
        change(graph, 'policy-runner-cpu', all => {
          for (const each of all)
            if (list(each.Action).includes('s3:DeleteObject'))
              each.Resource = ['arn:aws:s3:::x/y/*']
        }),
      graph =>
        change(graph, 'policy-api', all => {
          for (const each of all)
            each.Action = list(each.Action).filter(action => action !== 's3:DeleteObject')
        }),
    ],
  },
  {
    name: 'the database is backed up, for a week and in production for a month',
    faults: graph =>
      faulty(all(graph, 'rds/instance'), ({ backupRetentionPeriod: days }) => {
        const least = graph.stage === 'production' ? 30 : 7
        return !(days >= least) && `keeps backups for ${days} days, and should for ${least}`
      }),
    plants: [
      graph => {
        inputs(graph, 'database').backupRetentionPeriod = 7
      },
    ],
  },
]

const NO_KEY = 'is not encrypted with the key of the deployment'
const BLOCKS = ['blockPublicAcls', 'blockPublicPolicy', 'ignorePublicAcls', 'restrictPublicBuckets']
