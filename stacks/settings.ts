/** What differs between stages and accounts; everything else about a deployment is the same everywhere. */

import type { Place } from '../schemas/cloud/addresses.ts'
import * as addresses from '../schemas/cloud/addresses.ts'
import type { TraceVariable } from '../schemas/cloud/functions.ts'
import { resourceOf, TRACES_RATIOS, TRACES_SAMPLER } from '../schemas/cloud/traces.ts'

export const STAGES = {
  dev: {
    zones: 2,
    natGateways: 1,
    requests: 20,
    database: { class: 'db.t4g.small', storageGb: 20, standby: false, backupDays: 7 },
    routers: 1,
    runnersMax: 4,
    onDemandFloor: 0,
    tracesRatio: TRACES_RATIOS.dev,
    logDays: 14,
    spendUsd: 200,
    isProtected: false,
  },
  staging: {
    zones: 2,
    natGateways: 1,
    requests: 40,
    database: { class: 'db.t4g.medium', storageGb: 50, standby: false, backupDays: 7 },
    routers: 2,
    runnersMax: 8,
    onDemandFloor: 0,
    tracesRatio: TRACES_RATIOS.staging,
    logDays: 30,
    spendUsd: 500,
    isProtected: false,
  },
  production: {
    zones: 3,
    natGateways: 3,
    requests: 100,
    database: { class: 'db.m7g.large', storageGb: 200, standby: true, backupDays: 35 },
    routers: 2,
    runnersMax: 64,
    onDemandFloor: 1,
    tracesRatio: TRACES_RATIOS.production,
    logDays: 365,
    spendUsd: 5_000,
    isProtected: true,
  },
} as const satisfies Record<string, StageSettings>

export type StageSettings = {
  /** Availability zones that are used. */
  zones: number
  /** One, or one a zone where a zone's failure must not cut off the others. */
  natGateways: number
  /** Of the control API side by side: each holds connections, for which the class of the database has room. */
  requests: number
  database: { class: string; storageGb: number; standby: boolean; backupDays: number }
  routers: number
  runnersMax: number
  /** Runners on on-demand capacity before any on spot. */
  onDemandFloor: number
  /** Of the requests: so many are traced, where there is a receiver. */
  tracesRatio: number
  logDays: number
  /** A month's spend, in US dollars, at which somebody is called. */
  spendUsd: number
  /** Neither the database nor what is stored can be deleted by a deployment. */
  isProtected: boolean
}
export type Stage = keyof typeof STAGES

/** One deployment: a stage in two accounts, and what was built for it. */
export type Deployment = {
  stage: Stage
  settings: StageSettings
  account: string
  region: string
  /** Availability zones of the region, at least as many as the stage uses. */
  zones: string[]
  /** `galley.example` in production; a stage of its own name in front of it otherwise. */
  domain: string
  cloudflare: { accountId: string; zoneId: string }
  alarmEmail: string
  /** Of a receiver of OTLP, by HTTP; null: nothing is traced. */
  tracesUrl: string | null
  /** Images by digest, so that a task never starts what nobody has tested. */
  images: {
    router: string
    runner: string /** Where there is none, there is no pool with GPUs. */
    runnerGpu: string | null
  }
  /**
   * Databases that were made from backups, each in place of the one before it: a time in UTC to which that one is
   * restored, or the name of a snapshot. None, as long as nothing was lost.
   */
  restored: string[]
  /** Of the bundles: a deployment that has another one than before runs them. */
  newestMigration: string
  /** The folder of a function's bundle. */
  bundleOf(name: string): string
}

/** As each place is told where spans go, by OpenTelemetry's own names. */
export function tracesOf({
  stage,
  tracesUrl,
  settings,
}: Deployment): Partial<Record<TraceVariable, string>> {
  if (tracesUrl === null) return {}
  return {
    OTEL_EXPORTER_OTLP_ENDPOINT: tracesUrl,
    OTEL_RESOURCE_ATTRIBUTES: resourceOf(stage),
    OTEL_TRACES_SAMPLER: TRACES_SAMPLER,
    OTEL_TRACES_SAMPLER_ARG: String(settings.tracesRatio),
  }
}

/** Headers with credentials are for one that is reached over TLS: to another one nothing is sent that is secret. */
export function hasTraceHeaders({ tracesUrl }: Deployment): boolean {
  return tracesUrl?.startsWith('https:') ?? false
}

/** Where the edge finds the functions and the router, as `wrangler.toml` has it, and where callers speak gRPC. */
export function hostOf({ stage, domain }: Deployment, place: Place): string {
  return addresses.hostOf(stage, domain, place)
}

/** Where callers find the edge. */
export function edgeHostOf({ stage, domain }: Deployment): string {
  return addresses.hostOf(stage, domain)
}

/** The name of a resource: unique in the account, so that stages can share one. */
export function nameOf({ stage }: Deployment, name: string): string {
  return `galley-${stage}-${name}`
}

/** Tags that say in the bill which deployment and which part of it a cost belongs to. */
export function tagsOf({ stage }: Deployment, part: string): Record<string, string> {
  return { 'galley:app': 'galley', 'galley:stage': stage, 'galley:part': part }
}
