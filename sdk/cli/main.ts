/** One run of the command line: find the command, read its arguments, run it, print what it gives. */
import { Galley } from '../client.ts'
import { stringifyExact } from '../inference/exact-json.ts'
import { commandOf, type Options, readArguments } from './arguments.ts'
import { type Context, type Output, UsageError } from './command.ts'
import { COMMANDS } from './commands/all.ts'
import { findTarget, type Target } from './connect.ts'
import type { Environment } from './env.ts'
import { exitCodeOf, sentenceOf } from './exit.ts'
import { commandHelp, groupHelp, overview } from './help.ts'
import type { Terminal } from './terminal.ts'

export type Place = { environment: Environment; cwd: string; signal: AbortSignal }

/** Returns the exit code. */
export async function main(argv: string[], terminal: Terminal, place: Place): Promise<number> {
  try {
    return await run(argv, terminal, place)
  } catch (error) {
    if (place.signal.aborted) return 130
    terminal.err(`galley: ${sentenceOf(error)}\n`)
    return exitCodeOf(error)
  }
}

async function run(argv: string[], terminal: Terminal, place: Place): Promise<number> {
  // Where others take `help`, so may their users here.
  if (argv[0] === 'help') return run([...argv.slice(1), '--help'], terminal, place)
  const firstOption = argv.findIndex(arg => arg.startsWith('-'))
  const words = firstOption < 0 ? argv : argv.slice(0, firstOption)
  const wantsHelp = argv.some(arg => arg === '--help' || arg === '-h')
  const command = commandOf(words)
  if (!command) return withoutCommand(words, argv, wantsHelp, terminal)
  if (wantsHelp) {
    await terminal.out(commandHelp(command))
    return 0
  }
  const { args, options } = readArguments(command, argv)
  const context = contextOf(options, terminal, place)
  const output = await command.run(context, args, options)
  return output ? print(context, output) : 0
}

async function print({ json, terminal }: Context, output: Output): Promise<number> {
  await terminal.out(`${json ? stringifyExact(output.json, 2) : output.text}\n`)
  if (output.failure === undefined) return 0
  terminal.err(`galley: ${sentenceOf(output.failure)}\n`)
  return 1
}

async function withoutCommand(
  words: string[],
  argv: string[],
  wantsHelp: boolean,
  terminal: Terminal,
): Promise<number> {
  if (argv.length === 0 || (wantsHelp && words.length === 0)) {
    await terminal.out(overview(COMMANDS))
    return 0
  }
  if (words.length === 0) {
    const right = `galley <command> ${argv.join(' ')}`
    throw new UsageError(`Options come after the command: ${right}; "galley --help" lists all.`)
  }
  const group = COMMANDS.filter(each => each.words.startsWith(`${words[0]} `))
  if (group.length === 0) {
    const near = nearest(words[0]!, [...new Set(COMMANDS.map(each => each.words.split(' ')[0]!))])
    const meant = near ? `: is "${near}" meant? ` : '; '
    throw new UsageError(`There is no command "${words[0]}"${meant}"galley --help" lists all.`)
  }
  if (words.length > 1 && !wantsHelp) {
    const known = group.map(each => each.words.split(' ')[1]).join(', ')
    throw new UsageError(`"galley ${words[0]}" has no "${words[1]}"; it has ${known}.`)
  }
  const text = groupHelp(words[0]!, group)
  if (wantsHelp) await terminal.out(text)
  else terminal.err(text)
  return wantsHelp ? 0 : 2
}

/** The word at most two letters away from the one that was typed. */
function nearest(typed: string, known: string[]): string | undefined {
  const [best] = known
    .map(word => ({ word, far: distance(typed, word) }))
    .sort((a, b) => a.far - b.far)
  return best && best.far <= Math.min(2, typed.length - 1) ? best.word : undefined
}

/** Letters to add, to take away or to change (Levenshtein 1966). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries()) {
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (letter === other ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

function contextOf(options: Options, terminal: Terminal, place: Place): Context {
  const { url, key, profile } = options as { url?: string; key?: string; profile?: string }
  let found: Promise<Target> | undefined
  const target = () => {
    found ??= findTarget({ url, key, profile }, place.environment, place.cwd)
    return found
  }
  return {
    ...place,
    terminal,
    connector: { url, key, profile },
    json: options.json === true,
    target,
    galley: async () => {
      const { url: baseUrl, key: apiKey } = await target()
      return new Galley({ baseUrl, key: apiKey })
    },
  }
}
