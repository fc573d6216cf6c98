/** A runner's models without its channels, in a process of its own: cycles of load, run and unload. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Servable } from '#core/deps.ts'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import { openModelFiles } from '#gpu-runners/models/files.ts'
import { openMemory } from '#gpu-runners/models/memory.ts'
import { openResidents } from '#gpu-runners/models/residents.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import type { TenantId } from '#schemas/ids.ts'

export type Work = {
  folder: string
  cycles: number
  tenantId: TenantId
  large: Servable
  small: Servable
}
/** Of the runner and its engine processes together, in MB. */
export type Cycle = { cycle: number; loadMs: number; loadedMb: number; unloadedMb: number }

const MIB = 2 ** 20

process.once('message', async (work: Work) => {
  await run(work)
  process.disconnect()
})

async function run({ folder, cycles, tenantId, large, small }: Work): Promise<void> {
  const log = { info() {}, error() {} }
  const clock = { now: () => Date.now() }
  const engine = openOnnxRuntime({ log })
  const blobs = folderBlobs({ root: join(folder, 'blobs') })
  const files = openModelFiles({ blobs }, { folder: join(folder, 'models') })
  // One model at a time, and time stands still: what was used a moment ago may go.
  const memory = openMemory(
    { clock: { now: () => Number.MAX_SAFE_INTEGER }, log },
    { budgetBytes: 2 ** 30, modelsMax: 1, overheadBytes: () => engine.overheadBytes() },
  )
  const residents = openResidents(
    { engine, files, memory, clock, log, hardware: 'cpu' },
    { onChange() {} },
  )
  for (let cycle = 1; cycle <= cycles; cycle++) {
    const began = performance.now()
    await ask(large)
    const loadMs = performance.now() - began
    const loadedMb = heldMb()
    await ask(small)
    process.send!({ cycle, loadMs, loadedMb, unloadedMb: heldMb() } satisfies Cycle)
  }
  await engine.close()

  async function ask(servable: Servable): Promise<void> {
    const { model } = await residents.get(tenantId, servable)
    const { name, shape } = servable.signature.inputs[0]!
    const data = new Float32Array(8 * shape[1]!).map((_, i) => Math.sin(i))
    await model.run([{ name, datatype: 'FP32', shape: [8, shape[1]!], data }], ['y'])
  }

  function heldMb(): number {
    const pids = [process.pid, ...engine.processes().map(({ pid }) => pid)]
    const kilobytes = pids.reduce((sum, pid) => {
      const text = readFileSync(`/proc/${pid}/status`, 'latin1')
      return sum + Number(/^VmRSS:\s+(\d+) kB/m.exec(text)![1])
    }, 0)
    return Math.round((kilobytes * 1024) / MIB)
  }
}
