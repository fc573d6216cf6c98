/** The commands as a table: what each runs, and whether it needs the development dependencies. */
import { Refusal } from './refusal.mjs'

/**
 * @typedef {{ dev: boolean, entry: string, args: string[], env?: Record<string, string>, here?: boolean }} Run
 * `here`: in the folder of the user, not of the project.
 */
const VITEST = 'node_modules/vitest/vitest.mjs'
const EDGES = ['node', 'workerd']

/** @type {Record<string, (args: string[]) => Run[]>} */
const COMMANDS = {
  // Only workerd is a development dependency; the Node edge installs without.
  start: args => [
    {
      dev: edgeOf(args) === 'workerd',
      entry: 'local/start.ts',
      args,
      env: { GALLEY_LAUNCHED: '1' },
    },
  ],
  test: args => [{ dev: true, entry: VITEST, args: ['run', ...args] }],
  check: args => [{ dev: true, entry: 'local/check.ts', args }],
  'check:cloud': args => [{ dev: true, entry: 'tests/cloud/check.ts', args }],
  'check:stacks': args => [{ dev: true, entry: 'stacks/check/check.ts', args }],
  'check:images': args => [{ dev: true, entry: 'tests/images/check.ts', args }],
  'check:functions': args => [{ dev: true, entry: 'tests/lambda/check.ts', args }],
  operator: args => [{ dev: false, entry: 'local/operator/operator.ts', args }],
  'check:edge': args => [{ dev: true, entry: 'local/workerd/check.ts', args }],
  'build:functions': args => [{ dev: true, entry: 'local/lambda/build.ts', args }],
  e2e: args => edgesOf(args).map(edge => endToEnd(edge, args)),
  demo: args => [{ dev: edgeOf(args) === 'workerd', entry: 'bench/demo.ts', args }],
  chaos: args => [{ dev: true, entry: 'tests/chaos/chaos.ts', args }],
  prove: args => [{ dev: true, entry: 'tests/proof/prove.ts', args }],
  conformance: args => [{ dev: true, entry: 'tests/conformance/clients/conformance.ts', args }],
  bench: args => [{ dev: true, entry: 'bench/bench.ts', args }],
  generate: args => [{ dev: true, entry: 'local/generate.ts', args }],
  galley: args => [{ dev: false, entry: 'sdk/cli/galley.ts', args, here: true }],
}

/** What a command runs, in this order. Throws a Refusal for a command that does not exist. */
export function runsOf(command, args) {
  const runs = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined
  if (runs) return runs(args)
  throw new Refusal(`Usage: npm run <${Object.keys(COMMANDS).join(' | ')}> -- [flags]`)
}

/** The product's own flags become its environment; the rest is Vitest's. */
function endToEnd(edge, args) {
  const config = ['run', '--config', 'vitest.e2e.config.ts']
  const env = {
    GALLEY_EDGE: edge,
    GALLEY_E2E_QUEUE: engineOf(args, 'queue', ['postgres', 'sqs']),
    GALLEY_E2E_BLOB: engineOf(args, 'blob', ['folder', 's3']),
  }
  const rest = ['edge', 'queue', 'blob'].reduce(withoutFlag, args)
  return { dev: true, entry: VITEST, args: [...config, ...rest], env }
}

function edgesOf(args) {
  const edge = edgeOf(args)
  return edge === undefined ? EDGES : [edge]
}

function edgeOf(args) {
  return flagOf(args, 'edge')
}

function engineOf(args, flag, names) {
  const value = flagOf(args, flag) ?? names[0]
  if (names.includes(value)) return value
  throw new Refusal(`--${flag} is ${names.join(' or ')}, not "${value}".`)
}

function flagOf(args, flag) {
  const at = args.indexOf(`--${flag}`)
  if (at >= 0) return args[at + 1] ?? ''
  return args.find(arg => arg.startsWith(`--${flag}=`))?.slice(flag.length + 3)
}

function withoutFlag(args, flag) {
  const name = `--${flag}`
  return args.filter(
    (arg, i) => arg !== name && !arg.startsWith(`${name}=`) && args[i - 1] !== name,
  )
}
