/**
 * The Python servers beside which Galley is measured: each over the same file with the same threads, tuned as
 * its own documentation says and, between what that leaves open, by what was fastest here.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export type PeerName = 'litserve' | 'bentoml' | 'mlserver' | 'ray'
export type Peer = {
  name: PeerName
  packages: string[]
  /** What is told of it beside its figures. */
  settings: string
  /** The command within the environment; `folder` is empty and its own. */
  command(o: { port: number; ports: number[]; folder: string }): string[]
  env(o: { folder: string; ports: number[] }): Record<string, string>
  path: string
  body(row: number[]): string
  value(reply: string): number
}

/** The version of the engine in the binding that Galley uses. */
const ENGINE = 'onnxruntime==1.30.0'
const HERE = fileURLToPath(new URL('.', import.meta.url))
const WORKERS = 2
const BATCH = 64

const rowOf = (row: number[]) => JSON.stringify({ x: row })

export const PEERS: readonly Peer[] = [
  {
    name: 'litserve',
    packages: ['litserve==0.2.19', ENGINE],
    settings: `max_batch_size=${BATCH}, batch_timeout=0.001, workers_per_device=${WORKERS}, num_api_servers=${WORKERS}, fast_queue`,
    command: () => ['python', join(HERE, 'litserve_server.py')],
    env: () => ({
      BENCH_WORKERS: String(WORKERS),
      BENCH_API_SERVERS: String(WORKERS),
      BENCH_BATCH: String(BATCH),
      BENCH_WAIT_S: '0.001',
    }),
    path: '/predict',
    body: rowOf,
    value: reply => JSON.parse(reply).y[0],
  },
  {
    name: 'bentoml',
    packages: ['bentoml==1.4.40', ENGINE],
    settings: `batchable, max_batch_size=${BATCH}, max_latency_ms=1000, workers=${WORKERS}, no access log, no metrics`,
    command: ({ port }) => [
      ...['bentoml', 'serve', 'bentoml_server:Model', '--working-dir', HERE],
      ...['--host', '127.0.0.1', '--port', String(port)],
    ],
    env: ({ folder }) => ({
      BENTOML_HOME: folder,
      BENTOML_DO_NOT_TRACK: 'True',
      BENCH_WORKERS: String(WORKERS),
      BENCH_BATCH: String(BATCH),
      BENCH_LATENCY_MS: '1000',
    }),
    path: '/predict',
    body: row => JSON.stringify({ x: [row] }),
    value: reply => JSON.parse(reply)[0][0],
  },
  {
    name: 'mlserver',
    // Its workers do not start with a newer uvloop.
    packages: ['mlserver==1.7.1', 'uvloop==0.21.0', ENGINE],
    settings: `max_batch_size=${BATCH}, max_batch_time=0.001, parallel_workers=${WORKERS}, no debug, no metrics of the model`,
    command: ({ folder, port, ports }) => {
      const server = { host: '127.0.0.1', http_port: port, grpc_port: ports[0] }
      const settings = {
        ...server,
        metrics_port: ports[1],
        parallel_workers: WORKERS,
        debug: false,
      }
      const model = {
        name: 'model',
        implementation: 'mlserver_model.Model',
        max_batch_size: BATCH,
        max_batch_time: 0.001,
      }
      writeFileSync(join(folder, 'settings.json'), JSON.stringify(settings))
      writeFileSync(join(folder, 'model-settings.json'), JSON.stringify(model))
      return ['mlserver', 'start', folder]
    },
    env: () => ({}),
    path: '/v2/models/model/infer',
    body: row =>
      JSON.stringify({
        inputs: [{ name: 'x', shape: [1, row.length], datatype: 'FP32', data: row }],
      }),
    value: reply => JSON.parse(reply).outputs[0].data[0],
  },
  {
    name: 'ray',
    packages: ['ray[serve]==2.60.0', ENGINE],
    settings: `serve.batch(max_batch_size=${BATCH}, batch_wait_timeout_s=0), num_replicas=${WORKERS}, max_ongoing_requests=512, RAY_SERVE_THROUGHPUT_OPTIMIZED, RAY_SERVE_ENABLE_HA_PROXY, no access log`,
    command: () => ['python', join(HERE, 'ray_server.py')],
    env: ({ folder, ports }) => ({
      RAY_SERVE_THROUGHPUT_OPTIMIZED: '1',
      RAY_SERVE_ENABLE_HA_PROXY: '1',
      RAY_SERVE_HAPROXY_BINARY_PATH: join(HERE, 'haproxy_on_loopback.sh'),
      RAY_USAGE_STATS_ENABLED: '0',
      RAY_SERVE_HAPROXY_STATS_PORT: String(ports[0]),
      RAY_SERVE_HAPROXY_METRICS_PORT: String(ports[1]),
      // As on macOS: only then is an address of 127.0.0.1 not taken for the machine's own, and its processes
      // listen on loopback. What replicas call each other by, gRPC at a port of the system's choice, has no such option.
      RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER: '0',
      BENCH_FOLDER: folder,
      BENCH_WORKERS: String(WORKERS),
      BENCH_BATCH: String(BATCH),
      BENCH_WAIT_S: '0',
    }),
    path: '/predict',
    body: rowOf,
    value: reply => JSON.parse(reply).y[0],
  },
]
