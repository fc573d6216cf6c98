/** Who has no key that works is turned away by what is said before the message: none of it is read. */
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js'
import type { GrpcEdge } from '#edge/grpc/edge.ts'
import { knock } from '#edge/grpc/methods.ts'
import type { Fault } from '#edge/grpc/status.ts'
import { authorizationOf, statusOf } from './call.ts'

export function door(edge: GrpcEdge): ServerInterceptor {
  return ({ path }, call: ServerInterceptingCallInterface) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    return new ServerInterceptingCall(call, {
      start: next =>
        next({
          onReceiveMetadata(metadata, pass) {
            knock(edge, name, authorizationOf(metadata)).then(
              () => pass(metadata),
              (fault: Fault) => call.sendStatus(statusOf(fault)),
            )
          },
        }),
    })
  }
}
