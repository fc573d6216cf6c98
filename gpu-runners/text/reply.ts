/** The answer of `POST /v1/embeddings`. */
import { setImmediate as turn } from 'node:timers/promises'
import type { EmbeddingsRequest } from '#core/inference/embeddings/embeddings.ts'

/** So many numbers are written as text before others have their turn: a few milliseconds. */
const NUMBERS_PER_TURN = 16_384

export type Answered = Pick<EmbeddingsRequest, 'model' | 'encoding'> & {
  vectors: Float32Array[]
  tokens: number
}

export async function embeddingsReply(given: Answered): Promise<Uint8Array> {
  const { model, encoding, vectors, tokens } = given
  const parts: string[] = []
  let numbers = 0
  for (const [index, vector] of vectors.entries()) {
    parts.push(
      `{"object":"embedding","index":${index},"embedding":${vectorText(vector, encoding)}}`,
    )
    numbers += vector.length
    if (numbers < NUMBERS_PER_TURN) continue
    numbers = 0
    await turn()
  }
  const usage = `{"prompt_tokens":${tokens},"total_tokens":${tokens}}`
  return Buffer.from(
    `{"object":"list","data":[${parts.join()}],"model":${JSON.stringify(model)},"usage":${usage}}`,
  )
}

/** Base64 is of 32-bit floats, little-endian, as every machine that this runs on has them. */
function vectorText(vector: Float32Array, encoding: Answered['encoding']): string {
  if (encoding === 'float') {
    return JSON.stringify(Array.from(vector))
  }
  const { buffer, byteOffset, byteLength } = vector
  return `"${Buffer.from(buffer, byteOffset, byteLength).toString('base64')}"`
}
