/** ONNX Runtime alone over the same rows: on tensors in memory, and from file to file as a script would. */

import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { InferenceSession, Tensor } from 'onnxruntime-node'

export type Loop = {
  /** Seconds for all rows. */
  bare(): Promise<number>
  script(inputPath: string, resultPath: string): Promise<number>
  close(): Promise<void>
}

export async function openLoop(given: {
  graphPath: string
  values: Float32Array
  features: number
  rows: number
  threads: number
  batchRows: number
}): Promise<Loop> {
  const { graphPath, values, features, rows, threads, batchRows } = given
  const session = await InferenceSession.create(graphPath, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  })
  const run = async (data: Float32Array) => {
    const count = data.length / features
    const { y } = await session.run({ x: new Tensor('float32', data, [count, features]) })
    return y!.data as Float32Array
  }

  return {
    async bare() {
      const began = performance.now()
      const outputs = new Float32Array(rows)
      for (let row = 0; row < rows; row += batchRows) {
        const to = Math.min(rows, row + batchRows)
        outputs.set(await run(values.subarray(row * features, to * features)), row)
      }
      return (performance.now() - began) / 1000
    },
    async script(inputPath, resultPath) {
      const began = performance.now()
      const out = createWriteStream(resultPath)
      let batch: number[][] = []
      let index = 0
      const flush = async () => {
        if (batch.length === 0) return
        let text = ''
        for (const y of await run(Float32Array.from(batch.flat()))) {
          text += `${JSON.stringify({ index: index++, outputs: { y: [y] } })}\n`
        }
        batch = []
        if (!out.write(text)) await once(out, 'drain')
      }
      for await (const line of createInterface({ input: createReadStream(inputPath) })) {
        batch.push(JSON.parse(line).x)
        if (batch.length === batchRows) await flush()
      }
      await flush()
      out.end()
      await once(out, 'finish')
      return (performance.now() - began) / 1000
    },
    close: () => session.release(),
  }
}
