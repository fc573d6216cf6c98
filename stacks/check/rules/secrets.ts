/** Which secrets a function may read. */
import { all, faulty, inputs, type Rule } from '../rule.ts'
import { change, list, statements } from './access.ts'

export const secretRules: Rule[] = [
  {
    name: 'a function may read the secrets that its environment names, and no other',
    faults: graph =>
      faulty(all(graph, 'lambda/function'), ({ environment }, { name }) => {
        const told = Object.entries<string>(environment?.variables ?? {})
          .filter(([variable]) => variable.endsWith('_SECRET_ARN'))
          .map(([, arn]) => arn)
        const read = statements(graph)
          .filter(({ from }) => from === name.replace('function-', 'policy-'))
          .filter(({ Action }) => list(Action).includes('secretsmanager:GetSecretValue'))
          .flatMap(({ Resource }) => list(Resource))
        if (told.length === 0) return 'is told of no secret'
        const more = read.filter(arn => !told.includes(arn))
        const less = told.filter(arn => !read.includes(arn))
        if (more.length > 0) return `may read ${more}, of which it is not told`
        return less.length > 0 && `may not read ${less}`
      }),
    plants: [
      graph => {
        const { variables } = inputs(graph, 'function-relay').environment
        variables.GALLEY_OWNER_SECRET_ARN = 'arn:aws:secretsmanager:eu-central-1:1:secret:owner'
      },
      graph =>
        delete inputs(graph, 'function-migrate').environment.variables.GALLEY_OWNER_SECRET_ARN,
      graph =>
        change(graph, 'policy-migrate', all => {
          for (const each of all)
            if (list(each.Action)[0]?.startsWith('secrets')) each.Resource = []
        }),
    ],
  },
]
