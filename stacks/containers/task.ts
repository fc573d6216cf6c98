/** A container as a task: not root, a root file system that cannot be written, secrets by name. */
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as ecs from '@pulumi/aws/ecs/index.js'
import type * as kms from '@pulumi/aws/kms/index.js'
import type * as secretsmanager from '@pulumi/aws/secretsmanager/index.js'
import * as pulumi from '@pulumi/pulumi'
import { roleOf, type Statement } from '../policy.ts'
import { type Deployment, nameOf, tagsOf } from '../settings.ts'

export type Container = {
  name: string
  part: string
  /** By digest. */
  image: string
  environment: Record<string, pulumi.Input<string>>
  secrets: Record<string, secretsmanager.Secret>
  key: kms.Key
  ports?: number[]
  /** Where it answers `/health/live`. */
  healthPort: number
  memoryMb: number
  gpus?: number
  /** On Fargate its share of a machine; otherwise it runs on machines of ours. */
  fargate?: { cpu: string; memory: string }
  /** What the program itself may do. */
  may?: Statement[]
}

const TASKS = 'ecs-tasks.amazonaws.com'
/** The longest that the platform waits between SIGTERM and SIGKILL: time to drain. */
export const STOP_S = 120
/** The images have Node, and nothing else that asks over HTTP. */
const LIVES = (port: number) =>
  `fetch('http://127.0.0.1:${port}/health/live').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))`
/** The user that the images make. */
const USER = '10001:10001'

export function taskOf(deployment: Deployment, container: Container): ecs.TaskDefinition {
  const { name, part, environment, ports = [], fargate, gpus, may = [] } = container
  const tags = tagsOf(deployment, part)
  const logs = new cloudwatch.LogGroup(`logs-${name}`, {
    name: `/galley/${deployment.stage}/${name}`,
    retentionInDays: deployment.settings.logDays,
    tags,
  })
  const secrets = Object.entries(container.secrets)
  const starts = roleOf(deployment, { name: `${name}-start`, service: TASKS, part }, [
    { Sid: 'RegistryToken', Action: ['ecr:GetAuthorizationToken'], Resource: '*' },
    {
      Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
      Resource: repositoryOf(container.image),
    },
    {
      Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      Resource: pulumi.interpolate`${logs.arn}:*`,
    },
    {
      Action: ['secretsmanager:GetSecretValue'],
      Resource: secrets.map(([, secret]) => secret.arn),
    },
    { Action: ['kms:Decrypt'], Resource: container.key.arn },
  ])
  const works = roleOf(deployment, { name, service: TASKS, part }, may)
  const definition = {
    name,
    image: container.image,
    essential: true,
    user: USER,
    readonlyRootFilesystem: true,
    memoryReservation: container.memoryMb,
    stopTimeout: STOP_S,
    healthCheck: {
      command: ['CMD', 'node', '-e', LIVES(container.healthPort)],
      interval: 15,
      timeout: 5,
      retries: 4,
      startPeriod: 60,
    },
    portMappings: ports.map(containerPort => ({ containerPort, protocol: 'tcp' })),
    environment: Object.entries(environment).map(([name, value]) => ({ name, value })),
    secrets: secrets.map(([name, { arn }]) => ({ name, valueFrom: arn })),
    resourceRequirements: gpus ? [{ type: 'GPU', value: String(gpus) }] : [],
    mountPoints: [{ sourceVolume: 'scratch', containerPath: '/scratch', readOnly: false }],
    linuxParameters: { initProcessEnabled: true },
    logConfiguration: {
      logDriver: 'awslogs',
      options: {
        'awslogs-group': logs.name,
        'awslogs-region': deployment.region,
        'awslogs-stream-prefix': name,
      },
    },
  }
  return new ecs.TaskDefinition(`task-${name}`, {
    family: nameOf(deployment, name),
    networkMode: 'awsvpc',
    requiresCompatibilities: [fargate ? 'FARGATE' : 'EC2'],
    ...fargate,
    executionRoleArn: starts.arn,
    taskRoleArn: works.arn,
    containerDefinitions: pulumi.jsonStringify([definition]),
    volumes: [{ name: 'scratch' }],
    tags,
  })
}

/** `123.dkr.ecr.REGION.amazonaws.com/galley-router@sha256:…` stands in this repository. */
function repositoryOf(image: string): string {
  const found = /^(\d+)\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com\/([^@:]+)@sha256:/.exec(image)
  if (!found) throw new Error(`${image} is no image of ECR by its digest (…/name@sha256:…).`)
  const [, account, region, repository] = found
  return `arn:aws:ecr:${region}:${account}:repository/${repository}`
}
