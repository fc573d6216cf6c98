/** What docs/deploy.md tells whoever deploys: that it is enough, in the right order, and of these stacks. */
import { readdirSync, readFileSync } from 'node:fs'
import { VARIABLES_SAID } from '../../../env.ts'
import type { Graph } from '../../graph.ts'
import { all, inputs, type Rule } from '../../rule.ts'

const IMAGES = new URL('../../../../gpu-runners/', import.meta.url)

/** Of the first deployment: one command a line, without what is said of it. */
function commandsOf({ texts: { guide } }: Graph): string[] {
  const script = /^## From two empty accounts[\s\S]*?^```sh\n([\s\S]*?)^```/m.exec(guide)?.[1] ?? ''
  return script.split('\n').map(line => line.replace(/\s+# .*$/, ''))
}

function edit(graph: Graph, from: string | RegExp, to: string): void {
  const { guide } = graph.texts
  graph.texts.guide = guide.replace(from, to)
  if (graph.texts.guide === guide) throw new Error(`docs/deploy.md has no ${from} to plant in.`)
}

/** What a stage reserves of Lambda, of it the control API, and the connections of its database. */
function boundsOf(graph: Graph): number[] {
  const reserved = all(graph, 'lambda/function').map(
    ({ inputs: { reservedConcurrentExecutions: each } }) => Number(each),
  )
  const most = inputs(graph, 'database-parameters').parameters.find(
    ({ name }: { name: string }) => name === 'max_connections',
  )
  return [
    reserved.reduce((sum, each) => sum + each, 0),
    Number(inputs(graph, 'function-api').reservedConcurrentExecutions),
    Number(most?.value),
  ]
}

export const guideRules: Rule[] = [
  {
    name: 'the guide deploys a Worker for the first time with each secret that it must have',
    faults: graph => {
      const required = /^required = \[(.*)\]$/m.exec(graph.texts.wrangler)?.[1] ?? ''
      const secrets = [...required.matchAll(/"(\w+)"/g)].map(([, name]) => name!)
      const commands = commandsOf(graph)
      const at = commands.findIndex(each => /\bwrangler deploy\b/.test(each))
      const file = /--secrets-file (\S+)/.exec(commands[at] ?? '')?.[1]
      if (!file)
        return ['docs/deploy.md: the first "wrangler deploy" has no --secrets-file, and is refused']
      const written = commands.slice(0, at).find(each => each.endsWith(`> ${file}`)) ?? ''
      return secrets
        .filter(name => !written.includes(`"${name}"`))
        .map(name => `docs/deploy.md: ${file} has no ${name}, and wrangler refuses without it`)
    },
    plants: [
      graph => edit(graph, ' --secrets-file keys.json', ''),
      graph => edit(graph, '"FUNCTIONS_KEY":', '"FUNCTION_KEY":'),
      graph => edit(graph, /^printf .*\n/m, ''),
    ],
  },
  {
    name: 'the guide gives each secret of the stacks its value before the deployment that needs it',
    faults: graph => {
      const commands = commandsOf(graph)
      const last = commands.findLastIndex(each => /\bsst deploy\b/.test(each))
      return all(graph, 'secretsmanager/secret').flatMap(({ inputs: { name } }) => {
        const put = `put ${String(name).replace(`galley-${graph.stage}-`, '')} `
        const at = commands.findIndex(each => each.startsWith(put))
        // What a deployment may do without has a part of its own.
        const elsewhere = at < 0 && graph.texts.guide.includes(`\n${put}`)
        return elsewhere || (at >= 0 && at < last)
          ? []
          : [`docs/deploy.md: nobody puts a value into ${name}`]
      })
    },
    plants: [
      graph => edit(graph, /^put runner .*\n/m, ''),
      graph => edit(graph, /^put traces .*\n/m, ''),
    ],
  },
  {
    name: 'the guide names each variable that a deployment asks for, and no other',
    faults: ({ texts: { guide } }) => {
      const table = /^\| variable \|.*\n((?:\|.*\n)*)/m.exec(guide)?.[1] ?? ''
      const cells = table.split('\n').map(row => row.split('|')[1] ?? '')
      const named = [...cells.join().matchAll(/`([A-Z_]+)`/g)].map(([, name]) => name!)
      // Of wrangler and of the provider themselves.
      const others = ['CLOUDFLARE_API_TOKEN']
      return [
        ...VARIABLES_SAID.filter(name => !named.includes(name)).map(
          name => `docs/deploy.md: does not say ${name}`,
        ),
        ...named
          .filter(name => ![...VARIABLES_SAID, ...others].includes(name))
          .map(name => `docs/deploy.md: asks for ${name}, which nobody reads`),
      ]
    },
    plants: [
      graph => edit(graph, '`GALLEY_ZONES`', '`GALLEY_ZONE`'),
      graph => edit(graph, /^\| `GALLEY_ALARM_EMAIL`.*\n/m, ''),
    ],
  },
  {
    name: 'the guide says how much of Lambda and of the database a stage takes, as it does',
    faults: graph => {
      const row = new RegExp(`^\\| ${graph.stage} \\|(.*)\\|$`, 'm').exec(graph.texts.guide)?.[1]
      const said = row?.split('|').map(Number) ?? []
      const bounds = boundsOf(graph)
      return String(said) === String(bounds)
        ? []
        : [`docs/deploy.md: says ${said} of ${graph.stage}, and it takes ${bounds}`]
    },
    plants: [
      graph => edit(graph, '| production | 129 |', '| production | 124 |'),
      graph => {
        inputs(graph, 'function-ingest').reservedConcurrentExecutions = 21
      },
      graph => {
        inputs(graph, 'database-parameters').parameters = []
      },
    ],
  },
  {
    name: 'the guide pins what the images are built on, and builds each that a deployment asks for',
    faults: ({ texts: { guide } }) => {
      const script = /^## Images[\s\S]*?^```sh\n([\s\S]*?)^```/m.exec(guide)?.[1] ?? ''
      const pinned = [...script.matchAll(/\$\(pinned (\S+)\)/g)].map(([, image]) => image!)
      const built = [...script.matchAll(/\$\(image \S+ (\S+)\)/g)].map(([, file]) => file!)
      const files = readdirSync(IMAGES).filter(name => name.startsWith('Dockerfile'))
      const bases = files.flatMap(name =>
        [...readFileSync(new URL(name, IMAGES), 'utf8').matchAll(/^ARG \w+_IMAGE=(\S+)$/gm)].map(
          ([, image]) => image!,
        ),
      )
      const exported = [...script.matchAll(/^export (\w+)=/gm)].map(([, name]) => name!)
      return [
        ...bases.filter(base => !pinned.includes(base)).map(base => `${base}: is not pinned`),
        ...pinned
          .filter(base => !bases.includes(base))
          .map(base => `${base}: nothing is built on it`),
        ...files.filter(name => !built.includes(name)).map(name => `${name}: is not built`),
        ...VARIABLES_SAID.filter(name => name.endsWith('_IMAGE') && !exported.includes(name)).map(
          name => `${name}: is not given`,
        ),
      ].map(fault => `docs/deploy.md: ${fault}`)
    },
    plants: [
      graph => edit(graph, 'pinned node:24', 'pinned node:22'),
      graph => edit(graph, '$(image runner-gpu Dockerfile.cuda)', '$(image runner-gpu Dockerfile)'),
      graph => edit(graph, /^export GALLEY_ROUTER_IMAGE.*\n/m, ''),
    ],
  },
]
