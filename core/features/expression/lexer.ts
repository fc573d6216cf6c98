/** From text to tokens, each with its place. */
import { wrong } from './tree.ts'

export type Token = {
  kind: 'number' | 'string' | 'name' | 'word' | 'symbol' | 'end'
  text: string
  at: number
}

const WORDS = new Set(['and', 'or', 'not', 'in', 'is', 'null', 'true', 'false'])
const TOKEN =
  /\s*(?:(?<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?<string>'(?:[^']|'')*')|(?<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)|(?<symbol><=|>=|!=|<>|[-+*/%=<>(),]))/y

export function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  const end = text.trimEnd().length
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < end) {
    const from = TOKEN.lastIndex
    const groups = TOKEN.exec(text)?.groups
    if (!groups) {
      const at = from + (/^\s*/.exec(text.slice(from))?.[0].length ?? 0)
      const says = text[at] === "'" ? 'A text is not closed' : `"${text[at]}" means nothing here`
      throw wrong(text, at, says)
    }
    tokens.push(tokenOf(groups, TOKEN.lastIndex))
  }
  return [...tokens, { kind: 'end', text: '', at: end }]
}

function tokenOf(groups: Record<string, string | undefined>, end: number): Token {
  const { number, string, name, symbol } = groups
  if (number !== undefined) return { kind: 'number', text: number, at: end - number.length }
  if (string !== undefined) {
    return {
      kind: 'string',
      text: string.slice(1, -1).replaceAll("''", "'"),
      at: end - string.length,
    }
  }
  if (name !== undefined) {
    const isWord = WORDS.has(name.toLowerCase())
    const text = isWord ? name.toLowerCase() : name
    return { kind: isWord ? 'word' : 'name', text, at: end - name.length }
  }
  return { kind: 'symbol', text: symbol === '<>' ? '!=' : symbol!, at: end - symbol!.length }
}
