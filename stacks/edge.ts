/**
 * Names and certificates around the edge. The Worker itself, its objects and its KV namespace are wrangler's:
 * it alone knows which migrations of objects an account has seen.
 */
import * as acm from '@pulumi/aws/acm/index.js'
import { DnsRecord } from '@pulumi/cloudflare/dnsRecord.js'
import { WorkersCustomDomain } from '@pulumi/cloudflare/workersCustomDomain.js'
import { ZoneSetting } from '@pulumi/cloudflare/zoneSetting.js'
import type * as pulumi from '@pulumi/pulumi'
import type { Place } from '../schemas/cloud/addresses.ts'
import { type Deployment, edgeHostOf, hostOf, tagsOf } from './settings.ts'

/** As long as a client may remember what it was told of a name. */
const TTL_S = 300
/** Of a name that Cloudflare answers for: it says itself how long. */
const TTL_AUTOMATIC = 1

/** Settings of a zone count for every stage in it, so that production alone makes them. */
const ZONE = {
  min_tls_version: '1.2',
  tls_1_3: 'on',
  always_use_https: 'on',
  // The edge speaks to origins with certificates that it checks.
  ssl: 'strict',
}

export function edge(deployment: Deployment): void {
  const { stage, cloudflare } = deployment
  new WorkersCustomDomain('edge-domain', {
    ...cloudflare,
    hostname: edgeHostOf(deployment),
    service: stage === 'production' ? 'galley-edge' : `galley-edge-${stage}`,
  })
  if (stage !== 'production') return
  for (const [settingId, value] of Object.entries(ZONE))
    new ZoneSetting(`zone-${settingId}`, { zoneId: cloudflare.zoneId, settingId, value })
}

/** The ARN of a certificate for the place, once the zone has shown that the name is ours. */
export function certificateOf(deployment: Deployment, place: Place): pulumi.Output<string> {
  const { zoneId } = deployment.cloudflare
  const certificate = new acm.Certificate(`certificate-${place}`, {
    domainName: hostOf(deployment, place),
    validationMethod: 'DNS',
    tags: tagsOf(deployment, place === 'functions' ? 'functions' : 'router'),
  })
  const asked = certificate.domainValidationOptions.apply(options => options[0]!)
  const proof = new DnsRecord(`certificate-${place}-proof`, {
    zoneId,
    name: asked.apply(({ resourceRecordName }) => withoutDot(resourceRecordName)),
    type: asked.resourceRecordType,
    content: asked.apply(({ resourceRecordValue }) => withoutDot(resourceRecordValue)),
    proxied: false,
    ttl: TTL_S,
  })
  return new acm.CertificateValidation(
    `certificate-${place}-valid`,
    { certificateArn: certificate.arn },
    { dependsOn: proof },
  ).certificateArn
}

/** AWS ends names with a dot, which Cloudflare takes away: each deployment would find it changed. */
const withoutDot = (name: string) => name.replace(/\.$/, '')

/** The place's name leads to its host at AWS, or to Cloudflare's proxy in front of it. */
export function nameAt(
  deployment: Deployment,
  place: Place,
  content: pulumi.Input<string>,
  { isProxied } = { isProxied: false },
): void {
  new DnsRecord(`name-${place}`, {
    zoneId: deployment.cloudflare.zoneId,
    name: hostOf(deployment, place),
    type: 'CNAME',
    content,
    proxied: isProxied,
    ttl: isProxied ? TTL_AUTOMATIC : TTL_S,
  })
}
