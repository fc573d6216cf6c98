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
  const group = network.groups.database.id
  const place = { dbSubnetGroupName: subnets.name, vpcSecurityGroupIds: [group] }
  const common = { ...argsOf(deployment, secrets), ...place, parameterGroupName: parameters.name }
  let made = instanceOf(deployment, letIn, 'database', nameOf(deployment, 'control'), {
    ...common,
    dbName: 'galley',
    username: 'galley_owner',
  })
  for (const from of deployment.restored) {
    const name = nameOfBackup(from)
    const origin = /^\d{4}-/.test(from)
      ? { restoreToPointInTime: { sourceDbInstanceIdentifier: made.identifier, restoreTime: from } }
      : { snapshotIdentifier: from }
    const identifier = nameOf(deployment, `control-${name}`)
    // It holds what was nearly lost: no stage lets go of it by itself.
    const kept = {
      deletionProtection: true,
      deleteAutomatedBackups: false,
      skipFinalSnapshot: false,
    }
    made = instanceOf(deployment, letIn, `database-${name}`, identifier, {
      ...common,
      ...origin,
      ...kept,
      finalSnapshotIdentifier: `${identifier}-final`,
    })
  }
  return made
}

/** Of the 63 characters that a name of RDS may have it takes no more than the rest leaves. */
function nameOfBackup(from: string): string {
  const name = from.toLowerCase().replace(/[^a-z0-9]+/g, '-')
  return name.slice(-30).replace(/^-/, '')
}

type Args = Omit<rds.InstanceArgs, 'identifier'>

function instanceOf(
  deployment: Deployment,
  letIn: ec2.SecurityGroupRule,
  name: string,
  identifier: string,
  args: Args,
): rds.Instance {
  const { settings } = deployment
  const logs = new cloudwatch.LogGroup(`logs-${name}`, {
    name: `/aws/rds/instance/${identifier}/postgresql`,
    retentionInDays: settings.logDays,
    tags: tagsOf(deployment, 'database'),
  })
  return new rds.Instance(
    name,
    {
      finalSnapshotIdentifier: settings.isProtected ? `${identifier}-final` : undefined,
      ...args,
      identifier,
    },
    // Who comes after it finds it open.
    { protect: Boolean(args.deletionProtection), dependsOn: [logs, letIn] },
  )
}

/** What every database of a stage is, whatever it was made from. */
function argsOf(deployment: Deployment, { key }: Secrets) {
  const { settings } = deployment
  return {
    engine: 'postgres',
    engineVersion: '18',
    instanceClass: settings.database.class,
    allocatedStorage: settings.database.storageGb,
    maxAllocatedStorage: settings.database.storageGb * 10,
    storageType: 'gp3',
    storageEncrypted: true,
    kmsKeyId: key.arn,
    // RDS keeps and rotates the owner's password; no deployment ever sees it.
    manageMasterUserPassword: true,
    masterUserSecretKmsKeyId: key.arn,
    publiclyAccessible: false,
    multiAz: settings.database.standby,
    backupRetentionPeriod: settings.database.backupDays,
    copyTagsToSnapshot: true,
    // Backups outlive what they are of.
    deleteAutomatedBackups: !settings.isProtected,
    deletionProtection: settings.isProtected,
    skipFinalSnapshot: !settings.isProtected,
    performanceInsightsEnabled: true,
    performanceInsightsKmsKeyId: key.arn,
    enabledCloudwatchLogsExports: ['postgresql'],
    autoMinorVersionUpgrade: true,
    applyImmediately: !settings.isProtected,
    tags: tagsOf(deployment, 'database'),
  }
}

type Needs = { network: Network; secrets: Secrets }
