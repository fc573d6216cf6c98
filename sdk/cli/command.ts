/** A command is data: its words, what it takes, examples, and what it does. Help is printed from it. */
import type { Galley } from '../client.ts'
import type { Connector, Target } from './connect.ts'
import type { Environment } from './env.ts'
import type { Terminal } from './terminal.ts'

export type Option = {
  /** What stands for its value in help; an option without one is a flag. */
  value?: string
  /** May be given several times. */
  many?: boolean
  help: string
}
type Options = Record<string, Option>

export type Values<O extends Options> = {
  [K in keyof O]: O[K] extends { many: true }
    ? string[]
    : O[K] extends { value: string }
      ? string | undefined
      : boolean
}

export type Context = {
  terminal: Terminal
  environment: Environment
  connector: Connector
  cwd: string
  signal: AbortSignal
  json: boolean
  /** The Galley that this command talks to; finding none ends the command. */
  galley(): Promise<Galley>
  target(): Promise<Target>
}

/** `json` goes to stdout with --json, `text` without. `failure` says why it ended badly nevertheless. */
export type Output = { json: unknown; text: string; failure?: string }

export type Command = {
  words: string
  summary: string
  /** `<needed>`, `[optional]`, `[any...]`, `<some...>` */
  takes: string[]
  about?: string
  options: Options
  examples: string[]
  /** No output: the command wrote it itself. */
  run(context: Context, args: string[], options: Values<Options>): Promise<Output | undefined>
}

export function command<const O extends Options = Record<never, never>>(
  spec: Omit<Command, 'options' | 'takes' | 'run'> & {
    takes?: string[]
    options?: O
    run(context: Context, args: string[], options: Values<O>): Promise<Output | undefined>
  },
): Command {
  return { takes: [], options: {}, ...spec } as unknown as Command
}

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {}

/** There is no Galley to talk to, or no key for it: exit code 3. */
export class NotLoggedIn extends Error {}

/** `iris` or `iris@champion`, by number or alias. */
export function modelRef(text: string): { model: string; version: string | undefined } {
  const [model = '', version, ...rest] = text.split('@')
  if (model === '' || version === '' || rest.length > 0) {
    throw new UsageError(`"${text}" is no model; write name, name@3 or name@champion.`)
  }
  return { model, version }
}

export function versionRef(text: string): { model: string; version: string } {
  const { model, version } = modelRef(text)
  if (version) return { model, version }
  throw new UsageError(`Which version of "${model}"? Write ${model}@3 or ${model}@champion.`)
}
