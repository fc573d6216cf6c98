import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { commandOf, readArguments } from '#sdk/cli/arguments.ts'
import { COMMANDS } from '#sdk/cli/commands/all.ts'
import { EXIT_CODES } from '#sdk/cli/exit.ts'

const GUIDE = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')

/** Each call of galley in a line of shell, without what the shell itself does with it. */
function callsIn(line: string): string[][] {
  const words = [...line.matchAll(/"[^"]*"|'[^']*'|&&|[|<>]|\$\(|\)|[^\s|<>$()"']+(?:"[^"]*")?/g)]
  const calls: string[][] = []
  let open: string[] | null = null
  for (const [word] of words) {
    if (word === 'galley') {
      open = []
      calls.push(open)
    } else if (/^(&&|[|<>]|\$\(|\))$/.test(word)) open = null
    else open?.push(word.replaceAll(/^['"]|['"]$/g, ''))
  }
  return calls
}

const guideLines = [...GUIDE.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, text]) =>
  text!.split('\n').filter(line => /(^|\()galley /.test(line)),
)
const exampleLines = COMMANDS.flatMap(({ examples }) => examples)

test.each([...guideLines, ...exampleLines])(
  'the documented line is one that is taken: %s',
  line => {
    const calls = callsIn(line)
    expect(calls.length).toBeGreaterThan(0)
    for (const words of calls) {
      const command = commandOf(words)
      expect(command, words.join(' ')).toBeDefined()
      readArguments(command!, words)
    }
  },
)

test('the guide knows every exit code and every group of commands', () => {
  for (const [code, meaning] of Object.entries(EXIT_CODES)) {
    expect(GUIDE).toMatch(new RegExp(`\\| ${code} +\\| ${meaning.replaceAll(/[()]/g, '.')}`))
  }
  for (const { words } of COMMANDS) expect(GUIDE).toContain(`galley ${words.split(' ')[0]}`)
})
