/** Help, printed from the table of commands. */
import type { Command, Option } from './command.ts'
import { EXIT_CODES } from './exit.ts'

export const COMMON_OPTIONS: Record<string, Option> = {
  json: { help: 'print JSON and nothing else on stdout' },
  url: { value: 'url', help: 'the Galley to talk to; else GALLEY_URL' },
  key: { value: 'key', help: 'the API key; else GALLEY_KEY' },
  profile: { value: 'name', help: 'a stored login; else GALLEY_PROFILE, else "default"' },
  help: { help: 'print this help' },
}

export function overview(commands: Command[]): string {
  return [
    'Models, bulk jobs and what they cost, from the command line.',
    '',
    '  galley <command> [arguments] [options]',
    '',
    ...listing(commands),
    '',
    'Options of every command',
    ...optionLines(COMMON_OPTIONS),
    '',
    'Exit codes',
    ...rows(Object.entries(EXIT_CODES)),
    '',
    '"galley <command> --help" shows examples.',
    '',
  ].join('\n')
}

/** The commands that begin with a word, such as `jobs`. */
export function groupHelp(word: string, commands: Command[]): string {
  return [`galley ${word} <command>`, '', ...listing(commands), ''].join('\n')
}

export function commandHelp(command: Command): string {
  const { words, takes, summary, about, options, examples } = command
  const own = Object.keys(options).length > 0
  return [
    summary,
    '',
    `  ${['galley', words, ...takes, '[options]'].join(' ')}`,
    ...(about ? ['', about] : []),
    '',
    'Examples',
    ...examples.map(example => `  ${example}`),
    '',
    ...(own ? ['Options', ...optionLines(options), ''] : []),
    'Options of every command',
    ...optionLines(COMMON_OPTIONS),
    '',
  ].join('\n')
}

function listing(commands: Command[]): string[] {
  return rows(
    commands.map(({ words, takes, summary }) => [[words, ...takes].join(' '), summary] as const),
  )
}

function optionLines(options: Record<string, Option>): string[] {
  return rows(
    Object.entries(options).map(([name, { value, many, help }]) => [
      `--${name}${value ? ` <${value}>` : ''}${many ? ' …' : ''}`,
      help,
    ]),
  )
}

function rows(pairs: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...pairs.map(([left]) => left.length))
  return pairs.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}
