/** Who may take a role, and what the code behind it is refused. */
import { all, faulty, inputs, type Rule } from '../../rule.ts'
import { change, list, statements } from '../access.ts'

/** Services that take a role for whoever names it to them. */
const ACT_FOR_OTHERS = ['scheduler.amazonaws.com', 'ecs-tasks.amazonaws.com']
const ACCOUNT = '123456789012'

export const roleRules: Rule[] = [
  {
    name: 'a service that acts for others takes a role for this account alone',
    faults: graph =>
      faulty(all(graph, 'iam/role'), ({ assumeRolePolicy }) =>
        JSON.parse(assumeRolePolicy).Statement.some(
          ({ Principal, Condition }: { Principal: Record<string, unknown>; Condition?: object }) =>
            list(Principal.Service).some(service => ACT_FOR_OTHERS.includes(service)) &&
            !JSON.stringify(Condition ?? {}).includes(`{"aws:SourceAccount":"${ACCOUNT}"}`),
        )
          ? 'may be taken for the work of another account'
          : false,
      ),
    plants: ['role-schedule-relay', 'role-router', 'role-runner-gpu-start'].map(name => graph => {
      const role = inputs(graph, name)
      const policy = JSON.parse(role.assumeRolePolicy)
      delete policy.Statement[0].Condition
      role.assumeRolePolicy = JSON.stringify(policy)
    }),
  },
  {
    name: 'what Lambda needs for the network of a function is refused to its code',
    faults: graph =>
      faulty(all(graph, 'lambda/function'), ({ name: called }, { name }) => {
        const of = statements(graph).filter(
          ({ from }) => from === name.replace('function-', 'policy-'),
        )
        const allowed = of
          .filter(({ Effect }) => Effect === 'Allow')
          .flatMap(({ Action }) => list(Action).filter(action => action.startsWith('ec2:')))
        const refused = of
          .filter(
            ({ Effect, Resource, Condition }) =>
              Effect === 'Deny' &&
              Resource === '*' &&
              String(Condition?.ArnEquals?.['lambda:SourceFunctionArn']).endsWith(`:${called}`),
          )
          .flatMap(({ Action }) => list(Action))
        const open = allowed.filter(action => !refused.includes(action))
        return open.length > 0 && `its code may ${open}`
      }),
    plants: [
      graph =>
        change(graph, 'policy-api', all => {
          for (const each of all) if (each.Effect === 'Deny') each.Action = []
        }),
      graph =>
        change(graph, 'policy-sweep', all => {
          for (const each of all) delete each.Condition
        }),
      graph =>
        change(graph, 'policy-relay', all => {
          for (const each of all)
            if (each.Effect === 'Deny')
              each.Condition.ArnEquals['lambda:SourceFunctionArn'] = 'arn:aws:lambda:…:another'
        }),
    ],
  },
]
