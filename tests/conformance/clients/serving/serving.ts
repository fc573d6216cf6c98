/** Clients of the Open Inference Protocol in Python: NVIDIA's tritonclient and KServe's. */
import { fileURLToPath } from 'node:url'
import { DATATYPES } from '#schemas/signature.ts'
import { Galley } from '#sdk/client.ts'
import { addSub, failsOnNegative, identity, slow } from '#tests/models.ts'
import type { Product } from '../../../../bench/product.ts'
import { pythonWith, runClient } from '../python.ts'
import { ask } from '../scene.ts'
import { print, type Tally } from '../tally.ts'

const here = (name: string) => fileURLToPath(new URL(`./${name}`, import.meta.url))
const RUN_BY_THE_ENGINE = DATATYPES.filter(datatype => datatype !== 'BF16')
const CLIENTS = {
  'tritonclient http': 'triton_http.py',
  'tritonclient grpc': 'triton_grpc.py',
  kserve: 'kserve_clients.py',
}
const LEFT_OUT = {
  'tritonclient: system and CUDA shared memory':
    'memory of the same machine is not reached over a public API; every call of it is refused',
  'tritonclient: trace and log settings':
    'they belong to the operator of the whole server, and no key of a tenant may change them',
  'tritonclient: sequences':
    'state between requests would tie a caller to one runner: sequence parameters are refused by name',
  'tritonclient: BF16': 'ONNX Runtime runs no BF16 on CPU; publishing says so and names Cast',
}

export async function infersByPython(product: Product, tally: Tally): Promise<void> {
  const found = await pythonWith('serving', here('requirements.txt'), print)
  if ('reason' in found) {
    tally.leaveOut('tritonclient and kserve: everything', found.reason)
    return
  }
  const { url, grpc, key } = product
  const scene = { url, grpc, key, narrow_key: await setScene(product) }
  for (const [name, script] of Object.entries(CLIENTS)) {
    const env = { SCENE: JSON.stringify(scene), PYTHONDONTWRITEBYTECODE: '1' }
    await runClient(tally, { name, bin: found.bin, script: here(script), args: [], env })
  }
  for (const [name, reason] of Object.entries(LEFT_OUT)) tally.leaveOut(name, reason)
}

/** The models that the clients ask for; gives a key that may not infer. */
async function setScene(product: Product): Promise<string> {
  const client = new Galley({ baseUrl: product.url, key: product.key })
  const graphs: Record<string, Uint8Array> = {
    simple: addSub(),
    fragile: failsOnNegative(),
    slow: slow(400_000),
    ...Object.fromEntries(
      RUN_BY_THE_ENGINE.map(type => [`identity-${type.toLowerCase()}`, identity(type)]),
    ),
  }
  for (const [name, graph] of Object.entries(graphs)) {
    await client.publish(name, { 'model.onnx': graph })
  }
  const narrow = { name: 'infers nothing', scopes: ['usage:read'] }
  const { key } = await ask<{ key: string }>(product, 'POST', '/v1/keys', narrow)
  return key
}
