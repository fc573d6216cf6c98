/** Inside core: features in an order, each entered by its front files only. */
import type { Fault, Rule } from './rule.ts'
import { folderOf, type Import, importsOf, isCode, type Source } from './source.ts'

/** A feature may import those before it. To go the other way, write to the outbox. */
const ORDER = [
  'tenants',
  'usage',
  'jobs',
  'events',
  'features',
  'vectors',
  'models',
  'inference',
  'capacity',
  'decisions',
  'training',
  'drift',
  'pipelines',
  'webhooks',
]
/** Files of the root, and these, serve every feature and import none. */
const BASE = ['internal']

/**
 * The files by which others enter a feature. `<feature>.ts` holds the verbs, which need the database;
 * where it must not be loaded (at the edge, in a runner), the feature has a front file for that place.
 */
const FRONT: Record<string, string[]> = {
  internal: ['signing.ts', 'vault.ts'],
  tenants: ['tenants.ts', 'api-key.ts', 'rate-object.ts'],
  usage: ['usage.ts', 'receipt.ts', 'receipt-log.ts'],
  jobs: ['jobs.ts', 'lease-times.ts'],
  events: [
    'events.ts',
    'cloudevents.ts',
    'contract.ts',
    'hooks/hooks.ts',
    'partition.ts',
    'sealing/segment.ts',
    'sha256.ts',
    'time.ts',
  ],
  features: [
    'features.ts',
    'compile.ts',
    'explain/shown.ts',
    'expression.ts',
    'finalize.ts',
    'online/view.ts',
    'partition-object.ts',
    'reader.ts',
    'sql.ts',
  ],
  decisions: [
    'decisions.ts',
    'named.ts',
    'policy.ts',
    'reasons.ts',
    'scoring.ts',
    'source.ts',
    'tally.ts',
  ],
  capacity: ['capacity.ts', 'policy.ts'],
  training: ['training.ts'],
  models: [
    'models.ts',
    'embedding.ts',
    'onnx/build.ts',
    'onnx/inspect.ts',
    'onnx/pooling.ts',
    'onnx/signature.ts',
    'onnx/wire.ts',
    'rollout/rollout.ts',
  ],
  inference: [
    'batches/batches.ts',
    'bulk.ts',
    'canonical.ts',
    'log/files.ts',
    'log/log.ts',
    'log/tensors-text.ts',
    'embeddings/embeddings.ts',
    'invalid.ts',
    'metadata.ts',
    'oip.ts',
    'outputs.ts',
    'rows.ts',
    'tensor.ts',
    'triton/statistics.ts',
  ],
}

/** Doors that are open and should not be: `importer → file`. This list may only get shorter. */
const OPEN = new Set([
  'gpu-runners/bulk/codec/fill.ts → core/inference/oip-json.ts',
  'gpu-runners/engines/messages.ts → core/inference/layout.ts',
  'gpu-runners/validate/bundle.ts → core/models/onnx/inspection/quote.ts',
  'gpu-runners/validate/feed.ts → core/models/onnx/raw.ts',
  'gpu-runners/validate/guess.ts → core/models/onnx/inspection/quote.ts',
  'gpu-runners/validate/limits.ts → core/models/onnx/inspection/limits.ts',
  'gpu-runners/validate/runtime-error.ts → core/models/onnx/inspection/quote.ts',
  'gpu-runners/validate/shapes.ts → core/models/onnx/inspection/quote.ts',
])

export const coreOrder: Rule = {
  name: 'a feature of core imports only front files, and only of features before it',
  faults: sources => [...sources.filter(isCode).flatMap(faultsOf), ...closedDoors(sources)],
  plants: [
    [{ path: 'core/tenants/a.ts', text: "import * as models from '#core/models/models.ts'" }],
    [{ path: 'core/models/a.ts', text: "import { grant } from '#core/tenants/audit.ts'" }],
    [{ path: 'core/jobs/a.ts', text: "import type { X } from '../usage/ledger.ts'" }],
    [{ path: 'core/deps.ts', text: "import type { Key } from '#core/tenants/tenants.ts'" }],
    [{ path: 'core/gadgets/a.ts', text: "import { y } from '#core/error.ts'" }],
    [{ path: 'functions/a.ts', text: "import { append } from '#core/usage/ledger.ts'" }],
  ],
  spares: [
    [{ path: 'core/models/a.ts', text: "import { audit } from '#core/tenants/tenants.ts'" }],
    [{ path: 'tests/runtime/a.test.ts', text: "import { y } from '#core/usage/ledger.ts'" }],
  ],
}

function faultsOf(source: Source): Fault[] {
  const { path } = source
  if (['tests', 'bench'].includes(folderOf(path))) return []
  const from = featureOf(path)
  const fault = (line: number, says: string) => ({ path, line, says })
  if (from && !ORDER.includes(from) && !BASE.includes(from)) {
    return [fault(1, `core/${from} has no place in the order of features`)]
  }
  return importsOf(source).flatMap(import_ => {
    const says = wrong(path, from, import_)
    return says ? [fault(import_.line, says)] : []
  })
}

function wrong(path: string, from: string | null, { target }: Import): string | null {
  const to = featureOf(target)
  if (to === null || to === from) return null
  const inCore = path.startsWith('core/')
  if (inCore && !BASE.includes(to)) {
    const base = from === null || BASE.includes(from)
    if (base) return `imports ${target}: what serves every feature imports none`
    if (ORDER.indexOf(to) > ORDER.indexOf(from))
      return `imports ${target}: ${to} comes after ${from}`
  }
  const file = target.slice(`core/${to}/`.length)
  if (FRONT[to]?.includes(file) || OPEN.has(`${path} → ${target}`)) return null
  return `imports ${target}, which is no front file of ${to}`
}

/** `models` of `core/models/onnx/wire.ts`; null for a file of core's root and outside of core. */
function featureOf(path: string): string | null {
  const [top, feature, file] = path.split('/')
  return top === 'core' && file ? feature! : null
}

function closedDoors(sources: Source[]): Fault[] {
  if (!sources.some(({ path }) => path === 'core/error.ts')) return []
  const used = sources.flatMap(s =>
    isCode(s) ? importsOf(s).map(i => `${s.path} → ${i.target}`) : [],
  )
  return [...OPEN]
    .filter(door => !used.includes(door))
    .map(door => ({ path: door, line: 0, says: 'is closed; take it off the list' }))
}
