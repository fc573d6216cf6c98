/** The engine as a worker thread, for comparison: tensors move by transfer. */
import { parentPort } from 'node:worker_threads'
import { InferenceSession, Tensor } from 'onnxruntime-node'

let session: InferenceSession | null = null
parentPort!.on('message', async (message: Request) => {
  if (message.load) {
    session = await InferenceSession.create(message.load, {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      enableCpuMemArena: message.arena,
      enableMemPattern: message.arena,
    })
    return parentPort!.postMessage({})
  }
  if (message.unload) {
    await session?.release()
    return parentPort!.postMessage({})
  }
  const x = new Tensor('float32', message.data!, message.shape!)
  const data = (await session!.run({ x })).y!.data as Float32Array<ArrayBuffer>
  parentPort!.postMessage({ data }, [data.buffer])
})

type Request = {
  load?: string
  arena?: boolean
  unload?: boolean
  data?: Float32Array
  shape?: number[]
}
