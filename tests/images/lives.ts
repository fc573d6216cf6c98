/** A router asked over gRPC whether it lives, as a load balancer asks: HTTP/2 without TLS, no key, an empty message. */
import { connect, type IncomingHttpHeaders } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'

const MS_MAX = 10_000
/** Of the service in `schemas/contracts/inference.proto`; `stacks/containers/balancer.ts` names it too. */
const PATH = '/inference.GRPCInferenceService/ServerLive'
/** Not compressed, no bytes long. */
const EMPTY = Buffer.alloc(5)

/** Its `grpc-status`, where `0` is healthy; what kept it from answering, otherwise. */
export async function livesAt(port: number): Promise<string> {
  const session = connect(`http://127.0.0.1:${port}`)
  const answer = new Promise<string>((resolve, reject) => {
    session.once('error', reject)
    const call = session.request({
      ':method': 'POST',
      ':path': PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    const hear = (said: IncomingHttpHeaders) => {
      if (said['grpc-status'] !== undefined) resolve(String(said['grpc-status']))
    }
    call.once('error', reject).on('response', hear).on('trailers', hear)
    call.resume().end(EMPTY)
  })
  try {
    const late = sleep(MS_MAX, 'no answer', { ref: false })
    return await Promise.race([answer.catch(error => String(error)), late])
  } finally {
    session.destroy()
  }
}
