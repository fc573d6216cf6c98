/** Models, datasets, results and event segments: one bucket, private, encrypted, and over TLS only. */
import * as s3 from '@pulumi/aws/s3/index.js'
import * as pulumi from '@pulumi/pulumi'
import { policyOf } from './policy.ts'
import type { Secrets } from './secrets.ts'
import { type Deployment, nameOf, tagsOf } from './settings.ts'

/** Bodies of messages that are larger than SQS takes. */
export const BODIES = 'blobs/messages/'
/** A day longer than SQS keeps the dead message that needs one. */
const BODIES_DAYS = 15

export type Buckets = { blobs: s3.Bucket }

export function buckets(deployment: Deployment, { key }: Secrets): Buckets {
  const { account, settings } = deployment
  const tags = tagsOf(deployment, 'buckets')
  const blobs = new s3.Bucket(
    'bucket-blobs',
    { bucket: `${nameOf(deployment, 'blobs')}-${account}`, forceDestroy: false, tags },
    { protect: settings.isProtected },
  )
  const bucket = blobs.id
  const closed = new s3.BucketPublicAccessBlock('bucket-blobs-closed', {
    bucket,
    blockPublicAcls: true,
    blockPublicPolicy: true,
    ignorePublicAcls: true,
    restrictPublicBuckets: true,
  })
  new s3.BucketOwnershipControls('bucket-blobs-owner', {
    bucket,
    rule: { objectOwnership: 'BucketOwnerEnforced' },
  })
  new s3.BucketServerSideEncryptionConfiguration('bucket-blobs-encryption', {
    bucket,
    rules: [
      {
        applyServerSideEncryptionByDefault: { sseAlgorithm: 'aws:kms', kmsMasterKeyId: key.arn },
        bucketKeyEnabled: true,
      },
    ],
  })
  // Blobs are named by their content and never overwritten; a version is what a deletion left.
  new s3.BucketVersioning('bucket-blobs-versions', {
    bucket,
    versioningConfiguration: { status: 'Enabled' },
  })
  new s3.BucketLifecycleConfiguration('bucket-blobs-lifecycle', {
    bucket,
    rules: [
      {
        id: 'parts-of-abandoned-uploads',
        status: 'Enabled',
        filter: {},
        abortIncompleteMultipartUpload: { daysAfterInitiation: 2 },
      },
      // Of what a process was making when it died: names that nobody knows.
      ...['unfinished/', 'blobs/pieces/'].map(prefix => ({
        id: `left-in-${prefix.replaceAll('/', '-')}`,
        status: 'Enabled',
        filter: { prefix },
        expiration: { days: 2 },
      })),
      // Of uploads that nobody went on with: whoever does later is told which parts are missing.
      {
        id: 'parts-that-nobody-joined',
        status: 'Enabled',
        filter: { prefix: 'uploads/' },
        expiration: { days: 14 },
      },
      {
        id: 'left-of-messages',
        status: 'Enabled',
        filter: { prefix: BODIES },
        expiration: { days: BODIES_DAYS },
      },
      {
        id: 'deleted-is-gone-after-a-month',
        status: 'Enabled',
        filter: {},
        noncurrentVersionExpiration: { noncurrentDays: 30 },
        expiration: { expiredObjectDeleteMarker: true },
      },
      {
        id: 'what-nobody-reads-is-kept-for-less',
        status: 'Enabled',
        filter: {},
        transitions: [{ days: 30, storageClass: 'INTELLIGENT_TIERING' }],
      },
    ],
  })
  new s3.BucketPolicy(
    'bucket-blobs-policy',
    {
      bucket,
      policy: policyOf([
        {
          Sid: 'PlainHttpRefused',
          Effect: 'Deny',
          Principal: '*',
          Action: ['s3:*'],
          Resource: [blobs.arn, pulumi.interpolate`${blobs.arn}/*`],
          Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        },
      ]),
    },
    { dependsOn: closed },
  )
  return { blobs }
}
