/** The Open Inference Protocol over HTTP. Its bodies are tensors: `core/inference` reads them. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'

export const INFERENCE_BODY_BYTES_MAX = 64 * 1024 ** 2

const open = { limit: null, cache: 'none', meter: 'none', target: 'edge', scope: 'public' } as const
const metadata = { limit: 'control', cache: 'none', meter: 'none', target: 'edge' } as const
const infer = { limit: 'inference', cache: 'none', meter: 'inference', target: 'router' } as const
const oip = { errors: 'oip', status: 200 } as const
const tensor = z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.number()) })
const described = z.object({
  name: z.string(),
  versions: z.array(z.string()),
  platform: z.string(),
  inputs: z.array(tensor),
  outputs: z.array(tensor),
})
const dims = z.object({ name: z.string(), data_type: z.string(), dims: z.array(z.number()) })
const configured = z.object({
  name: z.string(),
  platform: z.string(),
  backend: z.string(),
  max_batch_size: z.number(),
  input: z.array(dims),
  output: z.array(dims),
})
const indexed = z.object({
  name: z.string(),
  version: z.string(),
  state: z.enum(['READY', 'LOADING', 'UNAVAILABLE']),
  reason: z.string(),
})
const counted = z.object({
  model_stats: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      last_inference: z.number(),
      inference_count: z.number(),
      execution_count: z.number(),
      inference_stats: z.record(z.string(), z.object({ count: z.number(), ns: z.number() })),
    }),
  ),
  galley: z.object({ runners: z.number(), since: z.string().nullable() }),
})
const ready = z.object({ name: z.string(), ready: z.boolean() })
const tensors = z.object({ model_name: z.string(), outputs: z.array(z.unknown()) })

export const inferenceRoutes = [
  route({
    name: 'oip.server',
    method: 'GET',
    path: '/v2',
    summary: 'Server metadata.',
    reply: z.object({ name: z.string(), version: z.string(), extensions: z.array(z.string()) }),
    ...oip,
    policy: open,
  }),
  route({
    name: 'oip.live',
    method: 'GET',
    path: '/v2/health/live',
    summary: 'Whether the server runs.',
    reply: z.object({ live: z.boolean() }),
    ...oip,
    policy: open,
  }),
  route({
    name: 'oip.ready',
    method: 'GET',
    path: '/v2/health/ready',
    summary: 'Whether the server can answer: functions and a runner are there.',
    reply: z.object({ ready: z.boolean() }),
    ...oip,
    policy: open,
  }),
  route({
    name: 'oip.stats',
    method: 'GET',
    path: '/v2/models/stats',
    summary: 'What runners counted of all models.',
    reply: counted,
    ...oip,
    policy: { ...metadata, scope: 'models:read' },
  }),
  route({
    name: 'oip.metadata',
    method: 'GET',
    path: '/v2/models/:model',
    summary: 'Metadata of the version that serves.',
    reply: described,
    ...oip,
    policy: { ...metadata, scope: 'infer' },
  }),
  route({
    name: 'oip.metadata_version',
    method: 'GET',
    path: '/v2/models/:model/versions/:version',
    summary: 'Metadata of one version, by number or alias.',
    reply: described,
    ...oip,
    policy: { ...metadata, scope: 'infer' },
  }),
  route({
    name: 'oip.model_ready',
    method: 'GET',
    path: '/v2/models/:model/ready',
    summary: 'Whether the model can answer.',
    reply: ready,
    ...oip,
    policy: { ...metadata, scope: 'infer' },
  }),
  route({
    name: 'oip.version_ready',
    method: 'GET',
    path: '/v2/models/:model/versions/:version/ready',
    summary: 'Whether one version can answer.',
    reply: ready,
    ...oip,
    policy: { ...metadata, scope: 'infer' },
  }),
  route({
    name: 'oip.config',
    method: 'GET',
    path: '/v2/models/:model/config',
    summary: "Configuration in Triton's form of the version that serves.",
    reply: configured,
    ...oip,
    policy: { ...metadata, scope: 'infer' },
  }),
  route({
    name: 'oip.config_version',
    method: 'GET',
    path: '/v2/models/:model/versions/:version/config',
    summary: "Configuration in Triton's form of one version, by number or alias.",
    reply: configured,
    ...oip,
    policy: { ...metadata, scope: 'infer' },
  }),
  route({
    name: 'oip.model_stats',
    method: 'GET',
    path: '/v2/models/:model/stats',
    summary: 'What runners counted of a model, version by version.',
    reply: counted,
    ...oip,
    policy: { ...metadata, scope: 'models:read' },
  }),
  route({
    name: 'oip.version_stats',
    method: 'GET',
    path: '/v2/models/:model/versions/:version/stats',
    summary: 'What runners counted of one version, by number or alias.',
    reply: counted,
    ...oip,
    policy: { ...metadata, scope: 'models:read' },
  }),
  route({
    name: 'oip.index',
    method: 'POST',
    path: '/v2/repository/index',
    summary: 'List every version and whether it can be asked for.',
    raw: 'application/json, or nothing',
    reply: z.array(indexed),
    ...oip,
    policy: { ...metadata, scope: 'models:read' },
  }),
  route({
    name: 'oip.load',
    method: 'POST',
    path: '/v2/repository/models/:model/load',
    summary: 'Make the version that serves warm on a runner.',
    raw: 'application/json, or nothing',
    reply: z.object({ name: z.string() }),
    ...oip,
    policy: { ...metadata, scope: 'models:write' },
  }),
  route({
    name: 'oip.unload',
    method: 'POST',
    path: '/v2/repository/models/:model/unload',
    summary: 'Give back the memory of an idle model; it is loaded again when it is asked for.',
    raw: 'application/json, or nothing',
    reply: z.object({ name: z.string() }),
    ...oip,
    policy: { ...metadata, scope: 'models:write' },
  }),
  route({
    name: 'oip.infer',
    method: 'POST',
    path: '/v2/models/:model/infer',
    summary: 'Run the version that `champion` names, or else the newest ready one.',
    raw: 'application/json or Triton binary tensors',
    reply: tensors,
    ...oip,
    bodyBytesMax: INFERENCE_BODY_BYTES_MAX,
    policy: { ...infer, scope: 'infer' },
  }),
  route({
    name: 'oip.infer_version',
    method: 'POST',
    path: '/v2/models/:model/versions/:version/infer',
    summary: 'Run one version, by number or alias.',
    raw: 'application/json or Triton binary tensors',
    reply: tensors,
    ...oip,
    bodyBytesMax: INFERENCE_BODY_BYTES_MAX,
    policy: { ...infer, scope: 'infer' },
  }),
] as const
