/** The key that everything stored is encrypted with, and secrets by name: values never pass a deployment. */
import * as kms from '@pulumi/aws/kms/index.js'
import * as secretsmanager from '@pulumi/aws/secretsmanager/index.js'
import { policyOf } from './policy.ts'
import { type Deployment, hasTraceHeaders, nameOf, tagsOf } from './settings.ts'

export type Secrets = ReturnType<typeof secrets>

/** As a container is told of them. */
export function traceHeadersIn({ traces }: Secrets): Record<string, secretsmanager.Secret> {
  return traces ? { OTEL_EXPORTER_OTLP_HEADERS: traces } : {}
}

export function secrets(deployment: Deployment) {
  const { account, settings } = deployment
  const tags = tagsOf(deployment, 'secrets')
  const key = new kms.Key(
    'key',
    {
      description: `Everything that Galley stores (${deployment.stage})`,
      enableKeyRotation: true,
      deletionWindowInDays: 30,
      policy: policyOf([
        {
          Sid: 'KeyAdministration',
          Principal: { AWS: `arn:aws:iam::${account}:root` },
          Action: ['kms:*'],
          Resource: '*',
        },
        {
          // Alarms and budgets write to the encrypted topic.
          Sid: 'KeyUse',
          Principal: { Service: ['cloudwatch.amazonaws.com', 'budgets.amazonaws.com'] },
          Action: ['kms:Decrypt', 'kms:GenerateDataKey'],
          Resource: '*',
          Condition: { StringEquals: { 'aws:SourceAccount': account } },
        },
      ]),
      tags,
    },
    // Without it nothing that was stored can be read.
    { protect: settings.isProtected },
  )
  new kms.Alias('key-name', {
    name: `alias/${nameOf(deployment, 'data')}`,
    targetKeyId: key.keyId,
  })
  const secret = (name: string, description: string) =>
    new secretsmanager.Secret(`secret-${name}`, {
      name: nameOf(deployment, name),
      description,
      kmsKeyId: key.arn,
      recoveryWindowInDays: settings.isProtected ? 30 : 7,
      tags,
    })
  return {
    key,
    deployment: secret('deployment', 'The secret that the keys of all places derive from'),
    database: secret(
      'database',
      'Password of the role that the functions have; migrations give it to that role',
    ),
    router: secret('router', 'The signing key of the edge, which routers hold too'),
    runner: secret('runner', 'The signing key of runners: the one secret that they hold'),
    traces: hasTraceHeaders(deployment)
      ? secret(
          'traces',
          'Headers that the receiver of traces asks for, as OTEL_EXPORTER_OTLP_HEADERS',
        )
      : null,
  }
}
