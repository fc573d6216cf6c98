/** Who may do what. */
import { WILDCARDS } from '../../policy.ts'
import type { Graph, Inputs } from '../graph.ts'
import { all, faulty, inputs, one, plant, type Rule, without } from '../rule.ts'

type Statement = { from: string; Effect: string; Sid?: string } & Inputs

/** Each statement of each policy, whatever it hangs on. */
export function statements(graph: Graph): Statement[] {
  return graph.resources.flatMap(({ name, inputs: { policy, assumeRolePolicy } }) =>
    [policy, assumeRolePolicy]
      .filter(text => typeof text === 'string' && text.startsWith('{'))
      .flatMap(text => JSON.parse(text).Statement.map((each: Inputs) => ({ ...each, from: name }))),
  )
}
export const list = (value: unknown): string[] =>
  value === undefined ? [] : [value].flat().map(each => String(each))
/** `*`, and a name that is a wildcard from its service or its account on. */
const isEverything = (resource: string) => /^\*$|^arn:[^:]*:[^:]*:[^:]*:[^:]*:\*$/.test(resource)

export function change(graph: Graph, name: string, edit: (statements: Inputs[]) => void): void {
  const policy = JSON.parse(inputs(graph, name).policy)
  edit(policy.Statement)
  inputs(graph, name).policy = JSON.stringify(policy)
}

export const access: Rule[] = [
  {
    name: 'a policy allows named actions on named resources, or has a reason why it cannot',
    faults: graph =>
      statements(graph)
        .filter(({ Effect }) => Effect === 'Allow')
        .filter(({ Sid }) => !(Sid && Sid in WILDCARDS))
        .flatMap(({ from, Action, Resource, NotAction, NotResource }) => [
          ...list(Action)
            .filter(action => action.includes('*'))
            .map(action => `${from}: allows ${action}; name the actions`),
          ...list(Resource)
            .filter(isEverything)
            .map(resource => `${from}: allows ${list(Action)} on ${resource}; name the resource`),
          ...(NotAction || NotResource ? [`${from}: allows all but some`] : []),
        ]),
    plants: [
      graph => change(graph, 'policy-api', ([first]) => Object.assign(first!, { Action: 'sqs:*' })),
      graph => change(graph, 'policy-relay', ([first]) => Object.assign(first!, { Resource: '*' })),
      graph =>
        change(graph, 'policy-sweep', ([first]) =>
          Object.assign(first!, { Resource: ['arn:aws:s3:::*'] }),
        ),
      graph =>
        change(graph, 'policy-tend', ([first]) =>
          Object.assign(first!, { NotAction: ['iam:PassRole'] }),
        ),
      graph =>
        change(graph, 'policy-ingest', all => {
          for (const each of all) if (each.Sid === 'NetworkInterfaces') each.Sid = 'BecauseIWant'
        }),
    ],
  },
  {
    name: 'only the administration of a key allows whole services, to this account alone',
    faults: graph =>
      statements(graph)
        .filter(({ Effect, Action }) => Effect === 'Allow' && list(Action).join().includes('*'))
        .filter(({ Sid, from }) => Sid !== 'KeyAdministration' || from !== 'key')
        .map(({ from, Action }) => `${from}: allows ${list(Action)}`),
    plants: [
      graph =>
        change(graph, 'policy-api', all =>
          all.push({ Effect: 'Allow', Sid: 'NetworkInterfaces', Action: ['ec2:*'], Resource: '*' }),
        ),
    ],
  },
  {
    name: 'nothing is allowed to everybody',
    faults: graph =>
      statements(graph)
        .filter(({ Effect, Principal }) => Effect === 'Allow' && Principal !== undefined)
        .filter(({ Principal }) => Principal === '*' || list(Principal.AWS).includes('*'))
        .map(({ from }) => `${from}: allows its actions to everybody`),
    plants: [
      graph =>
        change(graph, 'bucket-blobs-policy', ([first]) =>
          Object.assign(first!, { Effect: 'Allow' }),
        ),
      graph =>
        change(graph, 'key', ([first]) => Object.assign(first!, { Principal: { AWS: '*' } })),
    ],
  },
  {
    name: 'every reason for a wildcard is needed by a statement',
    faults: graph => {
      const used = new Set(statements(graph).map(({ Sid }) => Sid))
      return Object.keys(WILDCARDS)
        .filter(sid => !used.has(sid))
        .map(sid => `${sid}: no statement has this reason any more; take it off the list`)
    },
    plants: [
      graph => {
        without(graph, 'bucket-blobs-policy')
        without(graph, 'bucket-logs-policy')
      },
    ],
  },
  {
    name: 'a role has the statements written here, and no policy that somebody else may change',
    faults: graph => [
      ...faulty(all(graph, 'iam/rolePolicyAttachment'), () => 'attaches a policy from elsewhere'),
      ...faulty(all(graph, 'iam/role'), ({ managedPolicyArns }) =>
        managedPolicyArns?.length > 0 ? 'attaches a policy from elsewhere' : false,
      ),
    ],
    plants: [
      graph =>
        plant(graph, 'aws:iam/rolePolicyAttachment:RolePolicyAttachment', {
          role: 'role-api',
          policyArn: 'arn:aws:iam::aws:policy/AdministratorAccess',
        }),
      graph => {
        inputs(graph, 'role-api').managedPolicyArns = ['arn:aws:iam::aws:policy/PowerUserAccess']
      },
    ],
  },
  {
    name: 'each function has a role of its own',
    faults: graph => {
      const seen = new Map<string, string>()
      return faulty(all(graph, 'lambda/function'), ({ role }, { name }) => {
        const other = seen.get(role)
        seen.set(role, name)
        return other ? `has the role of ${other}` : false
      })
    },
    plants: [
      graph => {
        inputs(graph, 'function-relay').role = inputs(graph, 'function-api').role
      },
    ],
  },
  {
    name: 'who has a role is made after the role may do its work',
    faults: graph =>
      faulty(graph.resources, ({ role, roleArn, executionRoleArn, taskRoleArn, target }, of) => {
        if (of.type.includes('iam/rolePolicy')) return false
        const held = [role, roleArn, executionRoleArn, taskRoleArn, target?.roleArn]
        const early = all(graph, 'iam/role')
          .filter(({ inputs: { name } }) =>
            held.some(each => each === name || String(each).endsWith(`:${name}`)),
          )
          .map(({ name }) => name.replace('role-', 'policy-'))
          .filter(policy => graph.resources.some(({ name }) => name === policy))
          .filter(policy => !of.after.includes(policy))
        return early.length > 0 && `may be there before ${early}`
      }),
    plants: [
      graph => {
        one(graph, 'function-api').after = ['role-api']
      },
      graph => {
        one(graph, 'task-router').after = []
      },
      graph => {
        one(graph, 'runner-profile').after = []
      },
      graph => {
        one(graph, 'schedule-sweep').after = []
      },
    ],
  },
  {
    name: 'no environment holds a secret: secrets are named by their ARN',
    faults: graph => [
      ...faulty(all(graph, 'lambda/function'), ({ environment }) =>
        secretIn(Object.entries(environment?.variables ?? {})),
      ),
      ...faulty(all(graph, 'ecs/taskDefinition'), ({ containerDefinitions }) => {
        const containers: Inputs[] = JSON.parse(containerDefinitions)
        return secretIn(
          containers.flatMap(({ environment = [] }) =>
            environment.map(({ name, value }: Inputs) => [name, value]),
          ),
        )
      }),
    ],
    plants: [
      graph => {
        inputs(graph, 'function-api').environment.variables.GALLEY_SECRET = 'correct horse battery'
      },
      graph => {
        inputs(graph, 'function-api').environment.variables.DATABASE = 'postgres://a:b@host/galley'
      },
      graph => {
        inputs(graph, 'function-tend').environment.variables.WHERE = 'AKIAIOSFODNN7EXAMPLE'
      },
      graph => {
        const asked = inputs(graph, 'task-router')
        const planted = '"environment":[{"name":"GALLEY_ROUTER_KEY","value":"it is this"},'
        asked.containerDefinitions = asked.containerDefinitions.replace('"environment":[', planted)
      },
      graph => {
        const { variables } = inputs(graph, 'function-sweep').environment
        variables.OTEL_EXPORTER_OTLP_HEADERS = 'authorization=Basic%20it%20is%20this'
      },
    ],
  },
  {
    name: 'the value of a secret is in no deployment, so that no state file has it',
    faults: graph => [
      ...faulty(all(graph, 'secretsmanager/secretVersion'), () => 'gives a secret its value'),
      ...faulty(all(graph, 'rds/instance'), ({ password, manageMasterUserPassword }) =>
        password || !manageMasterUserPassword ? 'has a password that passes the deployment' : false,
      ),
    ],
    plants: [
      graph => {
        inputs(graph, 'database').password = 'hunter2'
      },
      graph =>
        plant(graph, 'aws:secretsmanager/secretVersion:SecretVersion', { secretString: 'hunter2' }),
    ],
  },
]

const SECRET_NAME = /SECRET|PASSWORD|TOKEN|CREDENTIAL|PRIVATE|_HEADERS$|_KEY$/
const SECRET_VALUE = /:\/\/[^/@\s]*:[^/@\s]+@|\bAKIA[0-9A-Z]{16}\b|\bgly_(live|test)_|-----BEGIN /

function secretIn(variables: [string, unknown][]): string | false {
  const found = variables.find(
    ([name, value]) =>
      (SECRET_NAME.test(name) && !name.endsWith('_ARN')) || SECRET_VALUE.test(String(value)),
  )
  return found ? `${found[0]} holds a secret; name it by its ARN and read it at the start` : false
}
