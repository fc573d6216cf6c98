/** The floor: a bare `node:http` server before the same codec, batcher and engine; no keys, no receipts. */
import { createServer } from 'node:http'
import { decodeRequest, encodeReply } from '#core/inference/oip.ts'
import { createBatcher } from '#gpu-runners/batcher/batcher.ts'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import type { Signature } from '#schemas/signature.ts'

const [graphPath, signatureJson] = process.argv.slice(2) as [string, string]
const signature = JSON.parse(signatureJson) as Signature
const clock = { now: () => Date.now() }
const log = { info() {}, error() {} }
const model = await openOnnxRuntime({ log }).load({ digest: 'bare', graphPath, signature })
const batcher = createBatcher({ model, signature, clock })

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', chunk => chunks.push(chunk))
  request.on('end', async () => {
    const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    const asked = decodeRequest({ body, jsonLength: null, signature })
    const answer = await batcher.submit({
      tenant: 'all',
      inputs: asked.inputs,
      outputs: asked.outputs.map(output => signature.outputs[output.index]!.name),
    })
    const reply = encodeReply({
      modelName: 'bare',
      modelVersion: '1',
      id: asked.id ?? '',
      signature,
      outputs: answer.outputs,
      requested: asked.outputs,
    })
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': reply.body.length,
    })
    response.end(reply.body)
  })
})
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as { port: number }
  process.stdout.write(`${JSON.stringify({ port })}\n`)
})
process.stdin.on('end', () => process.exit(0)).resume()
