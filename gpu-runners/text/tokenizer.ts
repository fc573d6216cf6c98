/**
 * Texts to token ids by a Hugging Face `tokenizer.json`. The library is the field's own for JavaScript;
 * where it cuts other than the original in Rust, it is set right here. Runs in a thread, never beside
 * what serves: a pattern may take for ever on the text that was made for it.
 */
import * as library from '@huggingface/tokenizers'
import { AppError } from '#core/error.ts'

/** What is used of it: its own declarations name files in a way that Node's resolution does not take. */
type Part = object | null
type Tokenizer = {
  normalizer: Part
  pre_tokenizer: Part
  encode(text: string): { ids: number[] }
  get_vocab(added: boolean): Map<string, number>
}
type Class<T> = new (...given: never[]) => T
const {
  Tokenizer,
  BertNormalizer,
  SequenceNormalizer,
  SequencePreTokenizer,
  WhitespacePreTokenizer,
} = library as unknown as {
  Tokenizer: new (tokenizer: object, config: object) => Tokenizer
  BertNormalizer: Class<object>
  SequenceNormalizer: Class<{ normalizers: Part[] }>
  SequencePreTokenizer: Class<{ tokenizers: Part[] }>
  WhitespacePreTokenizer: Class<object>
}

export type TextTokenizer = {
  /** Ids are below it. */
  readonly vocabulary: number
  /**
   * Special tokens included. Past `max` of them the text is cut at its end, the special tokens stay.
   * Throws `invalid_request` for a text that the tokeniser has no tokens for.
   */
  encode(text: string, max?: number): number[]
}

/** Throws `invalid_model` with what is wrong. */
export function readTokenizer(json: string): TextTokenizer {
  const tokenizer = open(json)
  const vocabulary = 1 + largest(tokenizer.get_vocab(true).values())
  const idsOf = (text: string): number[] => {
    const { ids } = tokenizer.encode(text)
    // Without a token for what is unknown, the library leaves a hole.
    if (ids.every(id => Number.isInteger(id) && id >= 0)) return ids
    throw new AppError('invalid_request', {
      public: 'The text holds characters that the tokeniser of this model has no token for.',
    })
  }
  const special = idsOf('')
  return {
    vocabulary,
    encode(text, max = Number.POSITIVE_INFINITY) {
      const ids = idsOf(text)
      if (ids.length <= max) return ids
      const before = special.findIndex((id, i) => id !== ids[i])
      const behind = before < 0 ? [] : special.slice(before)
      return [...ids.slice(0, Math.max(0, max - behind.length)), ...behind].slice(0, max)
    },
  }
}

function open(json: string): Tokenizer {
  try {
    const given = JSON.parse(json)
    const type = given?.model?.type
    if (typeof type !== 'string' && typeof given?.model?.vocab !== 'object') {
      throw new Error('it has no "model" with a vocabulary')
    }
    const tokenizer = new Tokenizer(given, {})
    setRight(tokenizer.normalizer)
    setRightSplit(tokenizer.pre_tokenizer)
    return tokenizer
  } catch (error) {
    const why = String((error as Error).message ?? error).replace(/\.$/, '')
    throw new AppError('invalid_model', {
      public: `The tokeniser cannot be used: ${why.slice(0, 300)}. It must be a tokenizer.json as Hugging Face's libraries save it.`,
    })
  }
}

function largest(ids: Iterable<number>): number {
  let most = -1
  for (const id of ids) if (id > most) most = id
  return most
}

/** It looks at halves of surrogate pairs, so ideographs past U+FFFF are not set apart. */
function setRight(normalizer: Part): void {
  if (normalizer instanceof SequenceNormalizer) normalizer.normalizers.forEach(setRight)
  if (!(normalizer instanceof BertNormalizer)) return
  Object.assign(normalizer, {
    tokenize_chinese_chars: (text: string) => text.replace(IDEOGRAPH, ' $& '),
  })
}

/** CJK Unified Ideographs and what BERT's own tokeniser takes for such. */
const IDEOGRAPH =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu

/** Its words are those of ASCII; the original's are those of Unicode. */
function setRightSplit(split: Part): void {
  if (split instanceof SequencePreTokenizer) split.tokenizers.forEach(setRightSplit)
  if (!(split instanceof WhitespacePreTokenizer)) return
  Object.assign(split, { pre_tokenize_text: (text: string) => text.match(WORDS) ?? [] })
}

const WORD = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`
const WORDS = new RegExp(`[${WORD}]+|[^${WORD}\\p{White_Space}]+`, 'gu')
