/** The thread in which texts become token ids. */
import { readFileSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { AppError } from '#core/error.ts'
import type { Answer, Question, Ready } from './messages.ts'
import { readTokenizer, type TextTokenizer } from './tokenizer.ts'

const port = parentPort!
const tokenizers = new Map<number, TextTokenizer>()

port.postMessage('ready' satisfies Ready)
port.on('message', (question: Question) => {
  if ('drop' in question) {
    tokenizers.delete(question.drop)
    return
  }
  const answer = answerOf(question)
  port.postMessage(answer, 'ids' in answer ? [answer.ids.buffer] : [])
})

function answerOf(question: Exclude<Question, { drop: number }>): Answer {
  let index = 0
  try {
    const tokenizer = known(question)
    const all: number[][] = []
    for (; index < question.texts.length; index++) {
      all.push(tokenizer.encode(question.texts[index]!, question.tokensMax))
    }
    const { vocabulary } = tokenizer
    return { ids: Int32Array.from(all.flat()), lengths: all.map(ids => ids.length), vocabulary }
  } catch (error) {
    if (error instanceof AppError) return { code: error.code, public: error.public, index }
    const why = String((error as Error)?.message ?? error).slice(0, 200)
    const text = `The tokeniser of this model failed on the text: ${why}`
    return { code: 'invalid_request', public: text, index }
  }
}

function known({ tokenizer, path }: { tokenizer: number; path: string }): TextTokenizer {
  let found = tokenizers.get(tokenizer)
  if (!found) {
    found = readTokenizer(readFileSync(path, 'utf8'))
    tokenizers.set(tokenizer, found)
  }
  return found
}
