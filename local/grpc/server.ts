/** The gRPC service on a port of its own: grpc-js carries the messages, `edge/grpc` answers them. */
import { fileURLToPath } from 'node:url'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { Answered, GrpcEdge } from '#edge/grpc/edge.ts'
import type { InferRequest } from '#edge/grpc/messages.ts'
import { answer, METHOD_NAMES } from '#edge/grpc/methods.ts'
import type { Fault } from '#edge/grpc/status.ts'
import { INFERENCE_BODY_BYTES_MAX } from '#schemas/contracts/inference.ts'
import { askingOf, metadataOf, statusOf } from './call.ts'
import { door } from './door.ts'
import { serveStream } from './stream.ts'

const PROTO = fileURLToPath(new URL('../../schemas/contracts/inference.proto', import.meta.url))
/** The tensors, as over HTTP, and what a message has besides them. */
const MESSAGE_BYTES_MAX = INFERENCE_BODY_BYTES_MAX + 2 ** 20
/** Of one connection; those beyond wait at the client. */
const STREAMS_MAX = 4_096
const CLOSE_MS_MAX = 3_000

export type GrpcServed = { close(): Promise<void> }

/** Resolves when it listens; rejects when the port is taken. */
export async function serveGrpc(
  edge: GrpcEdge,
  { host, port }: { host: string; port: number },
): Promise<GrpcServed> {
  const server = new grpc.Server({
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': STREAMS_MAX,
    interceptors: [door(edge)],
  })
  const { service } = loaded()
  const handlers: grpc.UntypedServiceImplementation = {}
  for (const name of METHOD_NAMES) {
    const stream: grpc.handleBidiStreamingCall<InferRequest, unknown> = call =>
      serveStream(edge, name, call)
    const single: grpc.handleUnaryCall<unknown, unknown> = (call, respond) =>
      void unary(edge, name, call, respond)
    handlers[name] = service[name]!.requestStream ? stream : single
  }
  server.addService(service, handlers)
  const credentials = grpc.ServerCredentials.createInsecure()
  await new Promise<void>((resolve, reject) => {
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
    server.bindAsync(address, credentials, error => (error ? reject(error) : resolve()))
  })
  return {
    close: () =>
      new Promise(resolve => {
        // A stream may stay open for ever, and its caller dials again.
        const late = setTimeout(() => server.forceShutdown(), CLOSE_MS_MAX)
        server.tryShutdown(() => {
          clearTimeout(late)
          resolve()
        })
      }),
  }
}

async function unary(
  edge: GrpcEdge,
  name: string,
  call: grpc.ServerUnaryCall<unknown, unknown>,
  respond: grpc.sendUnaryData<unknown>,
): Promise<void> {
  let answered: Answered
  try {
    answered = await answer(edge, name, call.request, askingOf(call, edge.deps.tracer !== null))
  } catch (fault) {
    respond(statusOf(fault as Fault))
    return
  }
  if (call.cancelled) return
  call.sendMetadata(metadataOf(answered.headers))
  respond(null, answered.message)
}

function loaded(): { service: grpc.ServiceDefinition<grpc.UntypedServiceImplementation> } {
  // 64-bit integers as text, so that none is rounded; what is absent stays absent.
  const definition = loadSync(PROTO, { keepCase: true, longs: String, enums: String })
  const service = definition['inference.GRPCInferenceService']
  return { service: service as unknown as ReturnType<typeof loaded>['service'] }
}
