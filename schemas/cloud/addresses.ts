/** Names of the places of a deployment below its domain: the stacks make them, and `wrangler.toml` has them. */

/** A domain, as `galley.example`: letters in lower case. */
export const DOMAIN = /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/
export type Place = 'functions' | 'router' | 'grpc'

/**
 * The host of a place of a stage; of the edge, where no place is named. Production has the domain itself. gRPC comes
 * in at Cloudflare, whose own certificate is for names of one level below the zone.
 */
export function hostOf(stage: string, domain: string, place?: Place): string {
  const parts =
    stage === 'production' ? [place] : place === 'grpc' ? [`grpc-${stage}`] : [place, stage]
  return [...parts, domain].filter(part => part !== undefined).join('.')
}

/** The domain for which this is the address of the place of the stage; null where it is no such address. */
export function domainOf(stage: string, place: Place, url: string): string | null {
  const front = `https://${hostOf(stage, '', place)}`
  const domain = url.startsWith(front) ? url.slice(front.length) : ''
  return DOMAIN.test(domain) ? domain : null
}
