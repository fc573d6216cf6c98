/** From the words of the command line to a command, its arguments and its options. */
import { parseArgs } from 'node:util'
import { type Command, UsageError, type Values } from './command.ts'
import { COMMANDS } from './commands/all.ts'
import { COMMON_OPTIONS } from './help.ts'

export type Options = Values<Command['options']>

/** The command that the words begin with. */
export function commandOf(words: string[]): Command | undefined {
  const two = words.slice(0, 2).join(' ')
  return COMMANDS.find(each => each.words === two) ?? COMMANDS.find(each => each.words === words[0])
}

/** Throws UsageError with what would be right. */
export function readArguments(
  command: Command,
  argv: string[],
): { args: string[]; options: Options } {
  const given = argv.slice(command.words.split(' ').length)
  const known = { ...command.options, ...COMMON_OPTIONS }
  const config = Object.fromEntries(
    Object.entries(known).map(([name, { value, many = false }]) => [
      name,
      { type: value ? ('string' as const) : ('boolean' as const), multiple: many },
    ]),
  )
  let result: ReturnType<typeof parseArgs>
  try {
    result = parseArgs({ args: given, options: config, allowPositionals: true })
  } catch (error) {
    const [reason] = (error as Error).message.split('. ')
    throw new UsageError(`${reason}; see "galley ${command.words} --help".`)
  }
  checkCount(command, result.positionals)
  const none = Object.fromEntries(
    Object.entries(known).map(([name, { value, many }]) => [
      name,
      many ? [] : value ? undefined : false,
    ]),
  )
  return { args: result.positionals, options: { ...none, ...result.values } as Options }
}

function checkCount({ words, takes }: Command, args: string[]): void {
  const needed = takes.filter(each => each.startsWith('<')).length
  const most = takes.some(each => each.includes('...')) ? Number.POSITIVE_INFINITY : takes.length
  if (args.length >= needed && args.length <= most) return
  const wrong =
    args.length < needed ? `${takes[args.length]} is missing` : `"${args[most]}" is too much`
  throw new UsageError(`${wrong}: galley ${[words, ...takes].join(' ')}`)
}
