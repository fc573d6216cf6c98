/** Who may do what: a role has the statements that its work needs, each on the resources that it names. */
import * as iam from '@pulumi/aws/iam/index.js'
import * as pulumi from '@pulumi/pulumi'
import { type Deployment, nameOf, tagsOf } from './settings.ts'

export type Statement = {
  Sid?: keyof typeof WILDCARDS
  Effect?: 'Allow' | 'Deny'
  Action: string[]
  Resource: pulumi.Input<string> | pulumi.Input<string>[]
  Condition?: Record<string, Record<string, pulumi.Input<string>>>
}

/** Every statement that names no resource has one of these ids, and the reason why it cannot. */
export const WILDCARDS = {
  NetworkInterfaces:
    'A function in a network makes its interfaces before they have a name, and describing them has no resource.',
  RegistryToken: 'ecr:GetAuthorizationToken is given to an account, not for a repository.',
  AgentEndpoint: 'ecs:DiscoverPollEndpoint has no resource.',
  KeyAdministration: 'In the policy of a key, * means this key; without it nobody could change it.',
  KeyUse: 'In the policy of a key, * means this key.',
  PlainHttpRefused: 'A refusal: it takes from everybody what the bucket must never give.',
} as const

/** Known once the role may do its work: who is made with it earlier fails on its first start. */
export type Role = { arn: pulumi.Output<string>; name: pulumi.Output<string> }

/** Services that act for whoever names a role to them: they say for which account, and others' are refused. */
const ACT_FOR_OTHERS = ['scheduler.amazonaws.com', 'ecs-tasks.amazonaws.com']

/** A role for one service and one piece of work. `part` is whom the cost is booked on. */
export function roleOf(
  deployment: Deployment,
  { name, service, part }: { name: string; service: string; part: string },
  statements: Statement[],
): Role {
  const from = { StringEquals: { 'aws:SourceAccount': deployment.account } }
  const role = new iam.Role(`role-${name}`, {
    name: nameOf(deployment, name),
    assumeRolePolicy: policyOf([
      {
        Action: 'sts:AssumeRole',
        Principal: { Service: service },
        ...(ACT_FOR_OTHERS.includes(service) && { Condition: from }),
      },
    ]),
    tags: tagsOf(deployment, part),
  })
  if (statements.length === 0) return role
  const policy = policyOf(statements)
  const { id } = new iam.RolePolicy(`policy-${name}`, { role: role.id, policy })
  const granted = (value: pulumi.Output<string>) => pulumi.all([value, id]).apply(([of]) => of)
  return { arn: granted(role.arn), name: granted(role.name) }
}

/** The document of a policy; a statement allows unless it says that it refuses. */
export function policyOf(statements: object[]): pulumi.Output<string> {
  const Statement = statements.map(statement => ({ Effect: 'Allow', ...statement }))
  return pulumi.jsonStringify({ Version: '2012-10-17', Statement })
}
