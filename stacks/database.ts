/** The control database: PostgreSQL on RDS, reached by functions alone, over TLS only. */

import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as rds from '@pulumi/aws/rds/index.js'
import { connectionsOf } from './connections.ts'
import type { Network } from './network.ts'
import type { Secrets } from './secrets.ts'
import { type Deployment, nameOf, tagsOf } from './settings.ts'

const PORT = 5432
/** A statement of the control API that takes longer has lost its caller. */
const STATEMENT_MS = 30_000
/** An invocation that is frozen or gone keeps its connections until then; one that goes on opens others. */
const IDLE_MS = 60_000

export function database(deployment: Deployment, { network, secrets }: Needs): rds.Instance {
  const { settings } = deployment
  const tags = tagsOf(deployment, 'database')
  const subnets = new rds.SubnetGroup('database-subnets', {
    name: nameOf(deployment, 'database'),
    subnetIds: network.databaseSubnets.map(({ id }) => id),
    tags,
  })
  const parameters = new rds.ParameterGroup('database-parameters', {
    name: nameOf(deployment, 'database'),
    family: 'postgres18',
    parameters: [
      { name: 'rds.force_ssl', value: '1' },
      { name: 'statement_timeout', value: String(STATEMENT_MS) },
      { name: 'idle_in_transaction_session_timeout', value: String(STATEMENT_MS) },
      { name: 'idle_session_timeout', value: String(IDLE_MS) },
      { name: 'log_min_duration_statement', value: '1000' },
      {
        name: 'max_connections',
        value: String(connectionsOf(settings)),
        // Taken over when the server starts again.
        applyMethod: 'pending-reboot',
      },
    ],
    tags,
  })
  const letIn = new ec2.SecurityGroupRule('database-from-functions', {
    type: 'ingress',
    securityGroupId: network.groups.database.id,
    sourceSecurityGroupId: network.groups.functions.id,
    protocol: 'tcp',
    fromPort: PORT,
    toPort: PORT,
    description: 'Functions alone speak to the database',
  })
  const identifier = nameOf(deployment, 'control')
  const logs = new cloudwatch.LogGroup('logs-database', {
    name: `/aws/rds/instance/${identifier}/postgresql`,
    retentionInDays: settings.logDays,
    tags,
  })
  return new rds.Instance(
    'database',
    {
      identifier,
      engine: 'postgres',
      engineVersion: '18',
      instanceClass: settings.database.class,
      allocatedStorage: settings.database.storageGb,
      maxAllocatedStorage: settings.database.storageGb * 10,
      storageType: 'gp3',
      storageEncrypted: true,
      kmsKeyId: secrets.key.arn,
      dbName: 'galley',
      username: 'galley_owner',
      // RDS keeps and rotates the owner's password; no deployment ever sees it.
      manageMasterUserPassword: true,
      masterUserSecretKmsKeyId: secrets.key.arn,
      dbSubnetGroupName: subnets.name,
      vpcSecurityGroupIds: [network.groups.database.id],
      parameterGroupName: parameters.name,
      publiclyAccessible: false,
      multiAz: settings.database.standby,
      backupRetentionPeriod: settings.database.backupDays,
      copyTagsToSnapshot: true,
      // Backups outlive what they are of.
      deleteAutomatedBackups: !settings.isProtected,
      deletionProtection: settings.isProtected,
      skipFinalSnapshot: !settings.isProtected,
      finalSnapshotIdentifier: settings.isProtected ? `${identifier}-final` : undefined,
      performanceInsightsEnabled: true,
      performanceInsightsKmsKeyId: secrets.key.arn,
      enabledCloudwatchLogsExports: ['postgresql'],
      autoMinorVersionUpgrade: true,
      applyImmediately: !settings.isProtected,
      tags,
    },
    // Who comes after it finds it open.
    { protect: settings.isProtected, dependsOn: [logs, letIn] },
  )
}

type Needs = { network: Network; secrets: Secrets }
