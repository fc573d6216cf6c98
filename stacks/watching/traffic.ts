/** Who came: requests at the load balancer, and connections that the network refused, in a bucket of their own. */
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as s3 from '@pulumi/aws/s3/index.js'
import * as pulumi from '@pulumi/pulumi'
import type { Network } from '../network.ts'
import { policyOf } from '../policy.ts'
import { type Deployment, nameOf, tagsOf } from '../settings.ts'

export type Traffic = {
  bucket: s3.Bucket
  /** Where the balancer writes in it. */
  balancerPrefix: string
  /** Who writes there may do so from then on. */
  granted: pulumi.Resource
}
const BALANCER = 'balancer'
const NETWORK = 'network'

export function traffic(deployment: Deployment, { vpc }: Network): Traffic {
  const { account, settings } = deployment
  const tags = tagsOf(deployment, 'network')
  const logs = new s3.Bucket(
    'bucket-logs',
    { bucket: `${nameOf(deployment, 'logs')}-${account}`, forceDestroy: false, tags },
    { protect: settings.isProtected },
  )
  const bucket = logs.id
  const closed = new s3.BucketPublicAccessBlock('bucket-logs-closed', {
    bucket,
    blockPublicAcls: true,
    blockPublicPolicy: true,
    ignorePublicAcls: true,
    restrictPublicBuckets: true,
  })
  new s3.BucketOwnershipControls('bucket-logs-owner', {
    bucket,
    rule: { objectOwnership: 'BucketOwnerEnforced' },
  })
  new s3.BucketServerSideEncryptionConfiguration('bucket-logs-encryption', {
    bucket,
    // A load balancer writes with no key but S3's own.
    rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: 'AES256' } }],
  })
  new s3.BucketLifecycleConfiguration('bucket-logs-lifecycle', {
    bucket,
    rules: [
      {
        id: 'kept-as-long-as-other-logs',
        status: 'Enabled',
        filter: {},
        expiration: { days: settings.logDays },
        abortIncompleteMultipartUpload: { daysAfterInitiation: 2 },
      },
    ],
  })
  const policy = policyFor(deployment, logs.arn)
  const granted = new s3.BucketPolicy(
    'bucket-logs-policy',
    { bucket, policy },
    { dependsOn: closed },
  )
  const asked = {
    vpcId: vpc.id,
    trafficType: 'REJECT',
    logDestinationType: 's3',
    logDestination: pulumi.interpolate`${logs.arn}/${NETWORK}/`,
    maxAggregationInterval: 600,
    tags,
  }
  new ec2.FlowLog('network-refused', asked, { dependsOn: granted })
  return { bucket: logs, balancerPrefix: BALANCER, granted }
}

function policyFor({ account }: Deployment, arn: pulumi.Output<string>): pulumi.Output<string> {
  const within = (prefix: string) => pulumi.interpolate`${arn}/${prefix}/AWSLogs/${account}/*`
  const ours = { 'aws:SourceAccount': account }
  const delivery = { Service: 'delivery.logs.amazonaws.com' }
  return policyOf([
    {
      Sid: 'PlainHttpRefused',
      Effect: 'Deny',
      Principal: '*',
      Action: ['s3:*'],
      Resource: [arn, pulumi.interpolate`${arn}/*`],
      Condition: { Bool: { 'aws:SecureTransport': 'false' } },
    },
    {
      Principal: { Service: 'logdelivery.elasticloadbalancing.amazonaws.com' },
      Action: ['s3:PutObject'],
      Resource: within(BALANCER),
    },
    {
      Principal: delivery,
      Action: ['s3:PutObject'],
      Resource: within(NETWORK),
      Condition: { StringEquals: { ...ours, 's3:x-amz-acl': 'bucket-owner-full-control' } },
    },
    {
      Principal: delivery,
      Action: ['s3:GetBucketAcl'],
      Resource: arn,
      Condition: { StringEquals: ours },
    },
  ])
}
