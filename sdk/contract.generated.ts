/** Generated from the contracts of the API by sdk/generate.ts; not to be edited. */

export const SCOPES = [
  'tenants:read',
  'tenants:write',
  'keys:read',
  'keys:write',
  'audit:read',
  'metrics:read',
  'models:read',
  'models:write',
  'infer',
  'inferences:read',
  'jobs:read',
  'jobs:write',
  'files:write',
  'usage:read',
  'events:write',
  'events:read',
  'events:manage',
  'features:write',
  'features:read',
  'decisions:write',
  'decisions:read',
  'decide',
] as const
export const GROUPS = [
  'kind',
  'model',
  'key',
  'project',
  'job',
  'day',
  'hour',
] as const
export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'BF16',
  'FP32',
  'FP64',
  'BYTES',
] as const

export type ErrorCode =
  | 'invalid_request'
  | 'invalid_input'
  | 'invalid_cursor'
  | 'unauthenticated'
  | 'invalid_signature'
  | 'insufficient_scope'
  | 'not_found'
  | 'method_not_allowed'
  | 'conflict'
  | 'idempotency_in_flight'
  | 'stale_epoch'
  | 'in_use'
  | 'event_conflict'
  | 'not_proven'
  | 'not_loaded'
  | 'plan_wanted'
  | 'payload_too_large'
  | 'unsupported_media_type'
  | 'range_not_satisfiable'
  | 'invalid_body'
  | 'invalid_model'
  | 'invalid_event'
  | 'invalid_definition'
  | 'idempotency_mismatch'
  | 'digest_mismatch'
  | 'not_fresh'
  | 'rate_limited'
  | 'canceled'
  | 'internal'
  | 'inference_failed'
  | 'unsupported'
  | 'unavailable'
  | 'overloaded'
  | 'deadline_exceeded'
  | 'insufficient_storage'

export type ApiKey = {
  id: string
  public_id: string
  name: string
  scopes: Array<string>
  project: string | null
  tags: Record<string, string>
  created_at: string
  expires_at: string | null
  revoked_at: string | null
  rotated_from: string | null
}

export type BatchJob = {
  id: string
  state: 'queued' | 'running' | 'done' | 'failed' | 'canceled' | 'expired'
  rows_total: number | null
  rows_done: number
  rows_failed: number
  progress: number
  result: {
    size: number
    sha256: string | null
    url: string
  } | null
  error: {
    code: string
    detail: string
  } | null
  created_at: string
  started_at: string | null
  ended_at: string | null
  expires_at: string
  kind: 'batch'
  model: string | null
  version: number | null
  digest: string | null
  input_file_id: string
}

export type ImportJob = {
  id: string
  state: 'queued' | 'running' | 'done' | 'failed' | 'canceled' | 'expired'
  rows_total: number | null
  rows_done: number
  rows_failed: number
  progress: number
  result: {
    size: number
    sha256: string | null
    url: string
  } | null
  error: {
    code: string
    detail: string
  } | null
  created_at: string
  started_at: string | null
  ended_at: string | null
  expires_at: string
  kind: 'import'
  table: string
  version: number
  file: {
    sha256: string
    size: number
    format: 'jsonl' | 'parquet'
  }
}

export type InferenceBody = {
  kind?: 'inference'
  model: string
  version?: number | string
  input: {
    sha256: string
    format: 'jsonl' | 'parquet'
  }
  expires_in_s?: number
}

export type InferenceJob = {
  id: string
  state: 'queued' | 'running' | 'done' | 'failed' | 'canceled' | 'expired'
  rows_total: number | null
  rows_done: number
  rows_failed: number
  progress: number
  result: {
    size: number
    sha256: string | null
    url: string
  } | null
  error: {
    code: string
    detail: string
  } | null
  created_at: string
  started_at: string | null
  ended_at: string | null
  expires_at: string
  kind: 'inference'
  model: string
  version: number
  digest: string
  input: {
    sha256: string
    size: number
    format: 'jsonl' | 'parquet'
  }
}

export type IssuedKey = {
  id: string
  public_id: string
  name: string
  scopes: Array<string>
  project: string | null
  tags: Record<string, string>
  created_at: string
  expires_at: string | null
  revoked_at: string | null
  rotated_from: string | null
  key: string
}

export type Job = InferenceJob | TrainingSetJob | ProofJob | SkewJob | ImportJob | BatchJob

export type JobBody = InferenceBody | TrainingSetBody | ProofBody | SkewBody

export type Manifest = {
  graph?: string
  files: Array<{
    path: string
    sha256: string
    size: number
  }>
  batch_axes?: Record<string, number | null>
  trial_shapes?: Record<string, Array<number>>
  embedding?: {
    tokenizer: string
    max_tokens: number
    pooling: 'mean' | 'cls' | 'last' | 'none'
    normalize?: boolean
    truncate?: boolean
    output?: string
    prefixes?: Record<string, string>
    dimensions?: Array<number>
  }
  hardware?: string
}

export type Model = {
  name: string
  latest: number
  aliases: Record<string, number>
  created_at: string
}

export type ProofBody = {
  kind: 'proof'
  view: string
  version?: number
  questions?: number
  expires_in_s?: number
}

export type ProofJob = {
  id: string
  state: 'queued' | 'running' | 'done' | 'failed' | 'canceled' | 'expired'
  rows_total: number | null
  rows_done: number
  rows_failed: number
  progress: number
  result: {
    size: number
    sha256: string | null
    url: string
  } | null
  error: {
    code: string
    detail: string
  } | null
  created_at: string
  started_at: string | null
  ended_at: string | null
  expires_at: string
  kind: 'proof'
  view: string
  version: number
  hash: string
  as_of: string
  log_position: number
  proof: {
    entities: number
    skipped: number
    questions: number
    values: number
    mismatches: number
  } | null
}

export type Quantities = {
  receipts: number
  requests: number
  rows: number
  compute_us: number
  bytes_in: number
  bytes_out: number
  tokens: number
}

export type Receipt = {
  seq: number
  id: string
  at: string
  kind: string
  work: string
  model: string
  version: number
  digest: string
  key: string
  project: string | null
  tags: Record<string, string>
  price_book: string
  requests: number
  rows: number
  compute_us: number
  bytes_in: number
  bytes_out: number
  tokens: number
}

export type Signature = {
  inputs: Array<{
    name: string
    datatype: 'BOOL' | 'UINT8' | 'UINT16' | 'UINT32' | 'UINT64' | 'INT8' | 'INT16' | 'INT32' | 'INT64' | 'FP16' | 'BF16' | 'FP32' | 'FP64' | 'BYTES'
    shape: Array<number>
    batch_axis: number | null
  }>
  outputs: Array<{
    name: string
    datatype: 'BOOL' | 'UINT8' | 'UINT16' | 'UINT32' | 'UINT64' | 'INT8' | 'INT16' | 'INT32' | 'INT64' | 'FP16' | 'BF16' | 'FP32' | 'FP64' | 'BYTES'
    shape: Array<number>
    batch_axis: number | null
  }>
  batching: 'invariant' | 'shape_sensitive' | 'unbatched'
  embedding?: {
    output: string
    width: number
    is_masked: boolean
    vocabulary: number
  }
}

export type SkewBody = {
  kind: 'skew'
  expires_in_s?: number
}

export type SkewJob = {
  id: string
  state: 'queued' | 'running' | 'done' | 'failed' | 'canceled' | 'expired'
  rows_total: number | null
  rows_done: number
  rows_failed: number
  progress: number
  result: {
    size: number
    sha256: string | null
    url: string
  } | null
  error: {
    code: string
    detail: string
  } | null
  created_at: string
  started_at: string | null
  ended_at: string | null
  expires_at: string
  kind: 'skew'
  as_of: string
  log_position: number
  skew: {
    checked: number
    mismatches: number
    pending: number
  } | null
}

export type Tenant = {
  id: string
  name: string
  plan: string
  limits: {
    runners: number | null
  }
  created_at: string
}

export type TrainingSetBody = {
  kind: 'training_set'
  service: string
  version?: number
  spine: {
    sha256: string
    format: 'jsonl' | 'parquet'
  }
  mode?: 'as_served' | 'as_corrected'
  as_of?: string
  log_position?: number
  statuses?: boolean
  expires_in_s?: number
}

export type TrainingSetJob = {
  id: string
  state: 'queued' | 'running' | 'done' | 'failed' | 'canceled' | 'expired'
  rows_total: number | null
  rows_done: number
  rows_failed: number
  progress: number
  result: {
    size: number
    sha256: string | null
    url: string
  } | null
  error: {
    code: string
    detail: string
  } | null
  created_at: string
  started_at: string | null
  ended_at: string | null
  expires_at: string
  kind: 'training_set'
  service: string
  version: number
  hash: string
  views: Array<{
    name: string
    version: number
    hash: string
  }>
  spine: {
    sha256: string
    size: number
    format: 'jsonl' | 'parquet'
  }
  mode: 'as_served' | 'as_corrected'
  as_of: string
  log_position: number
  statuses: boolean
  log: Record<string, {
    version: number
    segments: number
    segments_sha256: string
    open_rows: number
  }> | null
}

export type Tuning = {
  hardware: string
  threads: number
  batch_rows: number
  row_us: number
  load_ms: number
  curve: Array<{
    threads: number
    rows: number
    run_us: number
  }>
}

export type Upload = {
  id: string
  sha256: string
  size: number
  state: 'open' | 'verifying' | 'complete' | 'failed'
  error: {
    code: string
    detail: string
  } | null
  part_bytes_max: number
  parts: Array<{
    number: number
    size: number
    sha256: string
  }>
  created_at: string
}

export type Version = {
  model: string
  version: number
  digest: string
  state: 'validating' | 'ready' | 'invalid' | 'deleted'
  aliases: Array<string>
  manifest: unknown
  signature: Signature | null
  tuning: Tuning | null
  report: Record<string, unknown> | null
  error: string | null
  created_at: string
  ready_at: string | null
}

/** What each route takes and answers; a Response where the answer is no JSON. */
export type Contract = {
  /** Whether the edge runs. */
  'health.live': {
    input: {}
    reply: {
      live: boolean
    }
  }
  /** Whether work can be done: functions and a runner answer. */
  'health.ready': {
    input: {}
    reply: {
      ready: boolean
    }
  }
  /** Every error code, as a page; problem types point here. */
  'docs.errors': {
    input: {}
    reply: Response
  }
  /** Measures of all processes, in the text form of Prometheus; for the operator. */
  'metrics': {
    input: {}
    reply: Response
  }
  /** This API as OpenAPI 3.1. */
  'openapi': {
    input: {}
    reply: Response
  }
  /** Create a tenant and its first API key. */
  'tenants.create': {
    input: {
      body: {
        name: string
        plan?: 'standard'
      }
    }
    reply: {
      tenant: Tenant
      key: IssuedKey
    }
  }
  /** List this tenant and those that it created. */
  'tenants.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<Tenant>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show one tenant. */
  'tenants.get': {
    input: {
      params: { tenant_id: string }
    }
    reply: Tenant
  }
  /** Set how many runners of each class the queued work of a tenant may call for. */
  'tenants.limit': {
    input: {
      params: { tenant_id: string }
      body: {
        runners: number | null
      }
    }
    reply: Tenant
  }
  /** Show the key that asks, and its tenant. */
  'keys.whoami': {
    input: {}
    reply: {
      tenant: Tenant
      key: ApiKey
    }
  }
  /** Create an API key; the reply is the only place that ever shows it. */
  'keys.create': {
    input: {
      body: {
        name: string
        scopes: Array<'tenants:read' | 'tenants:write' | 'keys:read' | 'keys:write' | 'audit:read' | 'metrics:read' | 'models:read' | 'models:write' | 'infer' | 'inferences:read' | 'jobs:read' | 'jobs:write' | 'files:write' | 'usage:read' | 'events:write' | 'events:read' | 'events:manage' | 'features:write' | 'features:read' | 'decisions:write' | 'decisions:read' | 'decide'>
        project?: string
        tags?: Record<string, string>
        expires_at?: string
      }
    }
    reply: IssuedKey
  }
  /** List API keys, revoked ones included. */
  'keys.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<ApiKey>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show one API key. */
  'keys.get': {
    input: {
      params: { key_id: string }
    }
    reply: ApiKey
  }
  /** Issue a successor; the old key works on for the overlap. */
  'keys.rotate': {
    input: {
      params: { key_id: string }
      body: {
        overlap_s?: number
      }
    }
    reply: IssuedKey
  }
  /** Revoke an API key; everywhere within ten seconds. */
  'keys.revoke': {
    input: {
      params: { key_id: string }
    }
    reply: ApiKey
  }
  /** List who changed what, newest first. */
  'audit.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        id: string
        at: string
        actor: string
        action: string
        target: string
        request_id: string
        detail: Record<string, unknown>
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Begin an upload: the digest first, then its parts. */
  'uploads.create': {
    input: {
      body: {
        sha256: string
        size: number
      }
    }
    reply: Upload
  }
  /** Show which parts have arrived, to resume. */
  'uploads.get': {
    input: {
      params: { upload_id: string }
    }
    reply: Upload
  }
  /** Store one part; sending it again replaces it. */
  'uploads.part': {
    input: {
      params: { upload_id: string; number: string }
      body: Uint8Array<ArrayBuffer> | string
    }
    reply: {
      number: number
      size: number
      sha256: string
    }
  }
  /** Join the parts and verify size and digest; answers `verifying` where that takes longer than a call may. */
  'uploads.complete': {
    input: {
      params: { upload_id: string }
    }
    reply: Upload
  }
  /** Publish a version from uploaded files; answers when it is validated and ready. */
  'models.publish': {
    input: {
      params: { model: string }
      body: Manifest
    }
    reply: Version
  }
  /** List models. */
  'models.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<Model>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show a model and its aliases. */
  'models.get': {
    input: {
      params: { model: string }
    }
    reply: Model
  }
  /** List versions, newest first. */
  'models.versions': {
    input: {
      params: { model: string }
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<Version>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show one version, by number or alias. */
  'models.version': {
    input: {
      params: { model: string; version: string }
    }
    reply: Version
  }
  /** Delete a version that no alias and no running job uses. */
  'models.delete': {
    input: {
      params: { model: string; version: string }
    }
    reply: Version
  }
  /** Show what a model is served with besides being run. */
  'models.serving': {
    input: {
      params: { model: string }
    }
    reply: {
      model: string
      cache: {
        ttl_s: number
        bytes_max: number
      } | null
      inference_log: {
        sample: number
        retention_days: number
        subject?: {
          entity: string
          parameter: string
        }
      } | null
      changed_at: string | null
    }
  }
  /** Say what a model is served with: a cache of its answers, a log of a sample. What is left out is off. */
  'models.change_serving': {
    input: {
      params: { model: string }
      body: {
        cache?: {
          ttl_s: number
          bytes_max?: number
        } | null
        inference_log?: {
          sample: number
          retention_days?: number
          subject?: {
            entity: string
            parameter: string
          }
        } | null
      }
    }
    reply: {
      model: string
      cache: {
        ttl_s: number
        bytes_max: number
      } | null
      inference_log: {
        sample: number
        retention_days: number
        subject?: {
          entity: string
          parameter: string
        }
      } | null
      changed_at: string | null
    }
  }
  /** Point an alias at a ready version, which is warm before it serves. */
  'models.alias': {
    input: {
      params: { model: string; alias: string }
      body: {
        version: number
      }
    }
    reply: {
      name: string
      latest: number
      aliases: Record<string, number>
      created_at: string
      switch: {
        id: string
        at: string
        alias: string
        kind: 'flip' | 'remove' | 'canary' | 'shadow' | 'promote' | 'rollback'
        from: number | null
        to: number | null
        outcome: 'done' | 'refused'
        reason: string | null
        actor: string
        answered_from: number | null
        answered_to: number | null
        dropped: number | null
        mixed: number | null
      }
    }
  }
  /** Remove an alias. */
  'models.unalias': {
    input: {
      params: { model: string; alias: string }
    }
    reply: Model
  }
  /** List what served when, newest first: switches that were made and that were refused. */
  'models.switches': {
    input: {
      params: { model: string }
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        id: string
        at: string
        alias: string
        kind: 'flip' | 'remove' | 'canary' | 'shadow' | 'promote' | 'rollback'
        from: number | null
        to: number | null
        outcome: 'done' | 'refused'
        reason: string | null
        actor: string
        answered_from: number | null
        answered_to: number | null
        dropped: number | null
        mixed: number | null
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Try a version beside the one that an alias names; again to change the share. */
  'models.rollout': {
    input: {
      params: { model: string }
      body: {
        version: number
        alias?: string
        mode?: 'canary' | 'shadow'
        percent?: number
        tolerance?: {
          absolute?: number
          relative?: number
        }
        guard?: {
          requests_min?: number
          errors_max?: number | null
          latency_ratio_max?: number | null
          shift_max?: number | null
          rows_differing_max?: number | null
        }
      }
    }
    reply: {
      id: string
      model: string
      alias: string
      mode: 'canary' | 'shadow'
      from: number
      version: number
      percent: number
      tolerance: {
        absolute: number
        relative: number
      }
      guard: {
        requests_min: number
        errors_max: number | null
        latency_ratio_max: number | null
        shift_max: number | null
        rows_differing_max: number | null
      }
      state: 'running' | 'promoted' | 'rolled_back' | 'replaced'
      reason: string | null
      report: {
        stable: {
          requests: number
          errors: number
          p50_ms: number | null
          p95_ms: number | null
          compute_us_mean: number | null
          outputs: Record<string, {
            mean: number | null
            deviation: number | null
            not_finite: number
          }>
        }
        candidate: {
          requests: number
          errors: number
          p50_ms: number | null
          p95_ms: number | null
          compute_us_mean: number | null
          outputs: Record<string, {
            mean: number | null
            deviation: number | null
            not_finite: number
          }>
        }
        shift: Record<string, number>
        compared: {
          requests: number
          rows: number
          rows_differing: number
          share_differing: number | null
          tensors: Record<string, {
            max_abs_diff: number
            rows_differing: number
          }>
        }
        skipped: number
      }
      created_at: string
      ended_at: string | null
    }
  }
  /** Show the rollout that runs, or the last one, with what was seen. */
  'models.rollout_report': {
    input: {
      params: { model: string }
    }
    reply: {
      id: string
      model: string
      alias: string
      mode: 'canary' | 'shadow'
      from: number
      version: number
      percent: number
      tolerance: {
        absolute: number
        relative: number
      }
      guard: {
        requests_min: number
        errors_max: number | null
        latency_ratio_max: number | null
        shift_max: number | null
        rows_differing_max: number | null
      }
      state: 'running' | 'promoted' | 'rolled_back' | 'replaced'
      reason: string | null
      report: {
        stable: {
          requests: number
          errors: number
          p50_ms: number | null
          p95_ms: number | null
          compute_us_mean: number | null
          outputs: Record<string, {
            mean: number | null
            deviation: number | null
            not_finite: number
          }>
        }
        candidate: {
          requests: number
          errors: number
          p50_ms: number | null
          p95_ms: number | null
          compute_us_mean: number | null
          outputs: Record<string, {
            mean: number | null
            deviation: number | null
            not_finite: number
          }>
        }
        shift: Record<string, number>
        compared: {
          requests: number
          rows: number
          rows_differing: number
          share_differing: number | null
          tensors: Record<string, {
            max_abs_diff: number
            rows_differing: number
          }>
        }
        skipped: number
      }
      created_at: string
      ended_at: string | null
    }
  }
  /** Let the candidate of the running rollout serve. */
  'models.promote': {
    input: {
      params: { model: string }
    }
    reply: {
      name: string
      latest: number
      aliases: Record<string, number>
      created_at: string
      switch: {
        id: string
        at: string
        alias: string
        kind: 'flip' | 'remove' | 'canary' | 'shadow' | 'promote' | 'rollback'
        from: number | null
        to: number | null
        outcome: 'done' | 'refused'
        reason: string | null
        actor: string
        answered_from: number | null
        answered_to: number | null
        dropped: number | null
        mixed: number | null
      }
    }
  }
  /** End the running rollout; without one, let the version before serve again. */
  'models.rollback': {
    input: {
      params: { model: string }
      body: {
        alias?: string
      }
    }
    reply: {
      name: string
      latest: number
      aliases: Record<string, number>
      created_at: string
      switch: {
        id: string
        at: string
        alias: string
        kind: 'flip' | 'remove' | 'canary' | 'shadow' | 'promote' | 'rollback'
        from: number | null
        to: number | null
        outcome: 'done' | 'refused'
        reason: string | null
        actor: string
        answered_from: number | null
        answered_to: number | null
        dropped: number | null
        mixed: number | null
      }
    }
  }
  /** List what was logged and is in no segment yet, the newest first. */
  'inferences.list': {
    input: {
      params: { model: string }
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        id: string
        model: string
        version: number
        digest: string
        at: string
        key: string
        receipt: string
        features: string | null
        subject: {
          entity: string
          key: string
        } | null
        rows: number
        inputs: Record<string, unknown>
        outputs: Record<string, unknown>
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** List the Parquet files into which the inference log of a model was sealed. */
  'inferences.segments': {
    input: {
      params: { model: string }
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        id: string
        model: string
        hour: string
        sha256: string
        bytes: number
        rows: number
        expires_at: string
        sealed_at: string
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Read a segment of the inference log, as Parquet. */
  'inferences.segment_content': {
    input: {
      params: { model: string; segment_id: string }
    }
    reply: Response
  }
  /** Server metadata. */
  'oip.server': {
    input: {}
    reply: {
      name: string
      version: string
      extensions: Array<string>
    }
  }
  /** Whether the server runs. */
  'oip.live': {
    input: {}
    reply: {
      live: boolean
    }
  }
  /** Whether the server can answer: functions and a runner are there. */
  'oip.ready': {
    input: {}
    reply: {
      ready: boolean
    }
  }
  /** What runners counted of all models. */
  'oip.stats': {
    input: {}
    reply: {
      model_stats: Array<{
        name: string
        version: string
        last_inference: number
        inference_count: number
        execution_count: number
        inference_stats: Record<string, {
          count: number
          ns: number
        }>
      }>
      galley: {
        runners: number
        since: string | null
      }
    }
  }
  /** Metadata of the version that serves. */
  'oip.metadata': {
    input: {
      params: { model: string }
    }
    reply: {
      name: string
      versions: Array<string>
      platform: string
      inputs: Array<{
        name: string
        datatype: string
        shape: Array<number>
      }>
      outputs: Array<{
        name: string
        datatype: string
        shape: Array<number>
      }>
    }
  }
  /** Metadata of one version, by number or alias. */
  'oip.metadata_version': {
    input: {
      params: { model: string; version: string }
    }
    reply: {
      name: string
      versions: Array<string>
      platform: string
      inputs: Array<{
        name: string
        datatype: string
        shape: Array<number>
      }>
      outputs: Array<{
        name: string
        datatype: string
        shape: Array<number>
      }>
    }
  }
  /** Whether the model can answer. */
  'oip.model_ready': {
    input: {
      params: { model: string }
    }
    reply: {
      name: string
      ready: boolean
    }
  }
  /** Whether one version can answer. */
  'oip.version_ready': {
    input: {
      params: { model: string; version: string }
    }
    reply: {
      name: string
      ready: boolean
    }
  }
  /** Configuration in Triton's form of the version that serves. */
  'oip.config': {
    input: {
      params: { model: string }
    }
    reply: {
      name: string
      platform: string
      backend: string
      max_batch_size: number
      input: Array<{
        name: string
        data_type: string
        dims: Array<number>
      }>
      output: Array<{
        name: string
        data_type: string
        dims: Array<number>
      }>
    }
  }
  /** Configuration in Triton's form of one version, by number or alias. */
  'oip.config_version': {
    input: {
      params: { model: string; version: string }
    }
    reply: {
      name: string
      platform: string
      backend: string
      max_batch_size: number
      input: Array<{
        name: string
        data_type: string
        dims: Array<number>
      }>
      output: Array<{
        name: string
        data_type: string
        dims: Array<number>
      }>
    }
  }
  /** What runners counted of a model, version by version. */
  'oip.model_stats': {
    input: {
      params: { model: string }
    }
    reply: {
      model_stats: Array<{
        name: string
        version: string
        last_inference: number
        inference_count: number
        execution_count: number
        inference_stats: Record<string, {
          count: number
          ns: number
        }>
      }>
      galley: {
        runners: number
        since: string | null
      }
    }
  }
  /** What runners counted of one version, by number or alias. */
  'oip.version_stats': {
    input: {
      params: { model: string; version: string }
    }
    reply: {
      model_stats: Array<{
        name: string
        version: string
        last_inference: number
        inference_count: number
        execution_count: number
        inference_stats: Record<string, {
          count: number
          ns: number
        }>
      }>
      galley: {
        runners: number
        since: string | null
      }
    }
  }
  /** List every version and whether it can be asked for. */
  'oip.index': {
    input: {
      body: Uint8Array<ArrayBuffer> | string
    }
    reply: Array<{
      name: string
      version: string
      state: 'READY' | 'LOADING' | 'UNAVAILABLE'
      reason: string
    }>
  }
  /** Make the version that serves warm on a runner. */
  'oip.load': {
    input: {
      params: { model: string }
      body: Uint8Array<ArrayBuffer> | string
    }
    reply: {
      name: string
    }
  }
  /** Give back the memory of an idle model; it is loaded again when it is asked for. */
  'oip.unload': {
    input: {
      params: { model: string }
      body: Uint8Array<ArrayBuffer> | string
    }
    reply: {
      name: string
    }
  }
  /** Run the version that `champion` names, or else the newest ready one. */
  'oip.infer': {
    input: {
      params: { model: string }
      body: Uint8Array<ArrayBuffer> | string
    }
    reply: {
      model_name: string
      outputs: Array<unknown>
    }
  }
  /** Run one version, by number or alias. */
  'oip.infer_version': {
    input: {
      params: { model: string; version: string }
      body: Uint8Array<ArrayBuffer> | string
    }
    reply: {
      model_name: string
      outputs: Array<unknown>
    }
  }
  /** List the models that have a ready version, in the form of OpenAI. */
  'openai.models': {
    input: {}
    reply: {
      object: 'list'
      data: Array<{
        id: string
        object: 'model'
        created: number
        owned_by: string
      }>
    }
  }
  /** Show a model that has a ready version, in the form of OpenAI. */
  'openai.model': {
    input: {
      params: { model: string }
    }
    reply: {
      id: string
      object: 'model'
      created: number
      owned_by: string
    }
  }
  /** Embed texts or token ids, in the form of OpenAI. */
  'openai.embeddings': {
    input: {
      body: Uint8Array<ArrayBuffer> | string
    }
    reply: {
      object: 'list'
      model: string
      data: Array<{
        object: 'embedding'
        index: number
        embedding: Array<number> | string
      }>
      usage: {
        prompt_tokens: number
        total_tokens: number
      }
    }
  }
  /** Store a file of requests for a batch. */
  'openai.create_file': {
    input: {
      body: Uint8Array<ArrayBuffer> | string
    }
    reply: {
      id: string
      object: 'file'
      bytes: number
      created_at: number
      expires_at: number | null
      filename: string
      purpose: 'batch' | 'batch_output'
      status: 'processed'
    }
  }
  /** List files of batches, the newest first. */
  'openai.files': {
    input: {
      query?: {
        purpose?: string
        limit?: number
        order?: 'asc' | 'desc'
        after?: string
      }
    }
    reply: {
      object: 'list'
      data: Array<{
        id: string
        object: 'file'
        bytes: number
        created_at: number
        expires_at: number | null
        filename: string
        purpose: 'batch' | 'batch_output'
        status: 'processed'
      }>
      has_more: boolean
      first_id: string | null
      last_id: string | null
    }
  }
  /** Show a file of a batch. */
  'openai.file': {
    input: {
      params: { file_id: string }
    }
    reply: {
      id: string
      object: 'file'
      bytes: number
      created_at: number
      expires_at: number | null
      filename: string
      purpose: 'batch' | 'batch_output'
      status: 'processed'
    }
  }
  /** Delete a file that no running batch reads. */
  'openai.delete_file': {
    input: {
      params: { file_id: string }
    }
    reply: {
      id: string
      object: 'file'
      deleted: true
    }
  }
  /** The bytes of a file. Takes Range. */
  'openai.file_content': {
    input: {
      params: { file_id: string }
    }
    reply: Response
  }
  /** Run a file of embedding requests, each a line of it. */
  'openai.create_batch': {
    input: {
      body: {
        input_file_id: string
        endpoint: '/v1/embeddings'
        completion_window: '24h'
        metadata?: Record<string, string> | null
        output_expires_after?: {
          anchor: 'created_at'
          seconds: number
        }
      }
    }
    reply: {
      id: string
      object: 'batch'
      endpoint: string
      model: string | null
      errors: {
        object: 'list'
        data: Array<{
          code: string
          message: string
          line: number | null
          param: string | null
        }>
      } | null
      input_file_id: string
      completion_window: string
      status: 'validating' | 'failed' | 'in_progress' | 'finalizing' | 'completed' | 'expired' | 'cancelling' | 'cancelled'
      output_file_id: string | null
      error_file_id: string | null
      created_at: number
      in_progress_at: number | null
      expires_at: number | null
      finalizing_at: number | null
      completed_at: number | null
      failed_at: number | null
      expired_at: number | null
      cancelling_at: number | null
      cancelled_at: number | null
      request_counts: {
        total: number
        completed: number
        failed: number
      }
      metadata: Record<string, string> | null
    }
  }
  /** List batches, the newest first. */
  'openai.batches': {
    input: {
      query?: {
        limit?: number
        after?: string
      }
    }
    reply: {
      object: 'list'
      data: Array<{
        id: string
        object: 'batch'
        endpoint: string
        model: string | null
        errors: {
          object: 'list'
          data: Array<{
            code: string
            message: string
            line: number | null
            param: string | null
          }>
        } | null
        input_file_id: string
        completion_window: string
        status: 'validating' | 'failed' | 'in_progress' | 'finalizing' | 'completed' | 'expired' | 'cancelling' | 'cancelled'
        output_file_id: string | null
        error_file_id: string | null
        created_at: number
        in_progress_at: number | null
        expires_at: number | null
        finalizing_at: number | null
        completed_at: number | null
        failed_at: number | null
        expired_at: number | null
        cancelling_at: number | null
        cancelled_at: number | null
        request_counts: {
          total: number
          completed: number
          failed: number
        }
        metadata: Record<string, string> | null
      }>
      has_more: boolean
      first_id: string | null
      last_id: string | null
    }
  }
  /** Show a batch and how far it is. */
  'openai.batch': {
    input: {
      params: { batch_id: string }
    }
    reply: {
      id: string
      object: 'batch'
      endpoint: string
      model: string | null
      errors: {
        object: 'list'
        data: Array<{
          code: string
          message: string
          line: number | null
          param: string | null
        }>
      } | null
      input_file_id: string
      completion_window: string
      status: 'validating' | 'failed' | 'in_progress' | 'finalizing' | 'completed' | 'expired' | 'cancelling' | 'cancelled'
      output_file_id: string | null
      error_file_id: string | null
      created_at: number
      in_progress_at: number | null
      expires_at: number | null
      finalizing_at: number | null
      completed_at: number | null
      failed_at: number | null
      expired_at: number | null
      cancelling_at: number | null
      cancelled_at: number | null
      request_counts: {
        total: number
        completed: number
        failed: number
      }
      metadata: Record<string, string> | null
    }
  }
  /** Stop a batch; what is done by then becomes its files. */
  'openai.cancel_batch': {
    input: {
      params: { batch_id: string }
    }
    reply: {
      id: string
      object: 'batch'
      endpoint: string
      model: string | null
      errors: {
        object: 'list'
        data: Array<{
          code: string
          message: string
          line: number | null
          param: string | null
        }>
      } | null
      input_file_id: string
      completion_window: string
      status: 'validating' | 'failed' | 'in_progress' | 'finalizing' | 'completed' | 'expired' | 'cancelling' | 'cancelled'
      output_file_id: string | null
      error_file_id: string | null
      created_at: number
      in_progress_at: number | null
      expires_at: number | null
      finalizing_at: number | null
      completed_at: number | null
      failed_at: number | null
      expired_at: number | null
      cancelling_at: number | null
      cancelled_at: number | null
      request_counts: {
        total: number
        completed: number
        failed: number
      }
      metadata: Record<string, string> | null
    }
  }
  /** Run a model over every row of an uploaded file, make a training set from labels, prove a feature view, or check reads for skew. */
  'jobs.create': {
    input: {
      body: JobBody
    }
    reply: Job
  }
  /** List jobs, newest first. */
  'jobs.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<Job>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show a job and its progress. */
  'jobs.get': {
    input: {
      params: { job_id: string }
    }
    reply: Job
  }
  /** Stop a job; shards that are done stay billed. */
  'jobs.cancel': {
    input: {
      params: { job_id: string }
    }
    reply: Job
  }
  /** The result file, in the order of the input. Takes Range. */
  'jobs.results': {
    input: {
      params: { job_id: string }
    }
    reply: Response
  }
  /** Declare a type of events, or its next version, which must be compatible. */
  'event_types.declare': {
    input: {
      params: { type: string }
      body: {
        fields: Record<string, {
          type: 'int' | 'decimal' | 'float' | 'string' | 'bool' | 'time'
          scale?: number
          optional?: true
          default?: string | number | boolean
          enum?: Array<string | number>
          min?: number
          max?: number
          length_max?: number
        }>
        entities: Record<string, string | Array<string>>
        online_days?: number
        checks?: Record<string, {
          kind: 'null_rate'
          field: string
          max: number
        } | {
          kind: 'range'
          field: string
          min?: number
          max?: number
          severity?: 'reject' | 'warn'
          max_share?: number
        } | {
          kind: 'set'
          field: string
          values: Array<string | number>
          severity?: 'reject' | 'warn'
          max_share?: number
        } | {
          kind: 'uniqueness'
          fields: Array<string>
          min?: number
        } | {
          kind: 'volume'
          min?: number
          max?: number
        } | {
          kind: 'freshness'
          max_s: number
        }>
      }
    }
    reply: {
      type: string
      version: number
      fields: Record<string, {
        type: 'int' | 'decimal' | 'float' | 'string' | 'bool' | 'time'
        scale?: number
        optional?: true
        default?: string | number | boolean
        enum?: Array<string | number>
        min?: number
        max?: number
        length_max?: number
      }>
      entities: Record<string, string | Array<string>>
      online_days: number
      checks?: Record<string, {
        kind: 'null_rate'
        field: string
        max: number
      } | {
        kind: 'range'
        field: string
        min?: number
        max?: number
        severity: 'reject' | 'warn'
        max_share: number
      } | {
        kind: 'set'
        field: string
        values: Array<string | number>
        severity: 'reject' | 'warn'
        max_share: number
      } | {
        kind: 'uniqueness'
        fields: Array<string>
        min: number
      } | {
        kind: 'volume'
        min?: number
        max?: number
      } | {
        kind: 'freshness'
        max_s: number
      }>
      created_at: string
    }
  }
  /** List event types, each at its newest version. */
  'event_types.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        type: string
        version: number
        fields: Record<string, {
          type: 'int' | 'decimal' | 'float' | 'string' | 'bool' | 'time'
          scale?: number
          optional?: true
          default?: string | number | boolean
          enum?: Array<string | number>
          min?: number
          max?: number
          length_max?: number
        }>
        entities: Record<string, string | Array<string>>
        online_days: number
        checks?: Record<string, {
          kind: 'null_rate'
          field: string
          max: number
        } | {
          kind: 'range'
          field: string
          min?: number
          max?: number
          severity: 'reject' | 'warn'
          max_share: number
        } | {
          kind: 'set'
          field: string
          values: Array<string | number>
          severity: 'reject' | 'warn'
          max_share: number
        } | {
          kind: 'uniqueness'
          fields: Array<string>
          min: number
        } | {
          kind: 'volume'
          min?: number
          max?: number
        } | {
          kind: 'freshness'
          max_s: number
        }>
        created_at: string
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show an event type at its newest version. */
  'event_types.get': {
    input: {
      params: { type: string }
    }
    reply: {
      type: string
      version: number
      fields: Record<string, {
        type: 'int' | 'decimal' | 'float' | 'string' | 'bool' | 'time'
        scale?: number
        optional?: true
        default?: string | number | boolean
        enum?: Array<string | number>
        min?: number
        max?: number
        length_max?: number
      }>
      entities: Record<string, string | Array<string>>
      online_days: number
      checks?: Record<string, {
        kind: 'null_rate'
        field: string
        max: number
      } | {
        kind: 'range'
        field: string
        min?: number
        max?: number
        severity: 'reject' | 'warn'
        max_share: number
      } | {
        kind: 'set'
        field: string
        values: Array<string | number>
        severity: 'reject' | 'warn'
        max_share: number
      } | {
        kind: 'uniqueness'
        fields: Array<string>
        min: number
      } | {
        kind: 'volume'
        min?: number
        max?: number
      } | {
        kind: 'freshness'
        max_s: number
      }>
      created_at: string
    }
  }
  /** Take CloudEvents: durable when it answers, visible to features in a moment. */
  'events.send': {
    input: {
      query?: {
        partial?: 'true' | 'false'
        wait?: 'true' | 'false'
      }
      body: Uint8Array<ArrayBuffer> | string
    }
    reply: {
      accepted: number
      duplicates?: number
      rejected: number
      results?: Array<{
        index: number
        status: 'accepted' | 'duplicate' | 'rejected'
        code?: string
        detail?: string
      }>
      positions?: Array<{
        source: string
        id: string
        entity: string
        entity_key: string
        partition: number
        seq: number
        known_at: string
      }>
    }
  }
  /** The log, in the order in which events came into it. */
  'events.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
        type?: string
        newest?: 'true' | 'false'
      }
    }
    reply: {
      data: Array<{
        source: string
        id: string
        type: string
        version: number
        time: string
        received_at: string
        retracts: boolean
        data: Record<string, string | number | boolean | null>
        positions: Array<{
          entity: string
          entity_key: string
          partition: number
          seq: number
          known_at: string
        }>
      }>
      has_more: boolean
      next_cursor: string | null
      tail: string
    }
  }
  /** One event by its source and id, with its positions. */
  'events.find': {
    input: {
      query?: {
        source: string
        id: string
      }
    }
    reply: {
      source: string
      id: string
      type: string
      version: number
      time: string
      received_at: string
      retracts: boolean
      data: Record<string, string | number | boolean | null>
      positions: Array<{
        entity: string
        entity_key: string
        partition: number
        seq: number
        known_at: string
      }>
    }
  }
  /** Events that were acknowledged and contradict an earlier one. */
  'events.rejected': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        number: number
        at: string
        source: string
        id: string
        type: string
        code: string
        detail: string
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** The files into which the log was sealed, in the order in which it was. */
  'events.segments': {
    input: {
      query?: {
        limit?: number
        cursor?: string
        type?: string
        from?: string
        to?: string
        superseded?: 'true' | 'false'
      }
    }
    reply: {
      data: Array<{
        id: string
        type: string
        version: number
        hour: string
        state: 'sealed' | 'superseded'
        superseded_by: string | null
        sha256: string
        bytes: number
        rows: number
        events: number
        number_from: number
        number_to: number
        time_from: string | null
        time_to: string | null
        known_from: string | null
        known_to: string | null
        watermarks: Record<string, Array<number>>
        sealed_at: string
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** A segment as Parquet. Takes Range. */
  'events.segment_content': {
    input: {
      params: { segment_id: string }
    }
    reply: Response
  }
  /** What the log of a type is made of now: its segments, and a cursor for the rest. */
  'events.export': {
    input: {
      query?: {
        type: string
        from?: string
        to?: string
      }
    }
    reply: {
      type: string
      version: number
      segments: Array<{
        id: string
        type: string
        version: number
        hour: string
        state: 'sealed' | 'superseded'
        superseded_by: string | null
        sha256: string
        bytes: number
        rows: number
        events: number
        number_from: number
        number_to: number
        time_from: string | null
        time_to: string | null
        known_from: string | null
        known_to: string | null
        sealed_at: string
      }>
      rest: string | null
    }
  }
  /** What was not sealed at the time of the export, as Parquet of some thousand events; the header galley-next-cursor leads on. */
  'events.export_rest': {
    input: {
      query?: {
        cursor: string
      }
    }
    reply: Response
  }
  /** For how long the log is kept. */
  'events.settings': {
    input: {}
    reply: {
      retention_days: number | null
      kept_days: number
    }
  }
  /** Say for how long the log is kept. */
  'events.change_settings': {
    input: {
      body: {
        retention_days: number | null
      }
    }
    reply: {
      retention_days: number | null
      kept_days: number
    }
  }
  /** Erase every event that tells about a subject, wherever it is kept. */
  'erasures.create': {
    input: {
      body: {
        entity: string
        key: string | number | boolean | Array<string | number | boolean>
      }
    }
    reply: {
      id: string
      entity: string
      subject_hash: string
      state: 'queued' | 'running' | 'done'
      erased: {
        events: number
        segments: number
        decisions: number
        rejections: number
      }
      created_at: string
      finished_at: string | null
    }
  }
  /** List erasures, the newest first. */
  'erasures.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        id: string
        entity: string
        subject_hash: string
        state: 'queued' | 'running' | 'done'
        erased: {
          events: number
          segments: number
          decisions: number
          rejections: number
        }
        created_at: string
        finished_at: string | null
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** How far an erasure has come. */
  'erasures.get': {
    input: {
      params: { erasure_id: string }
    }
    reply: {
      id: string
      entity: string
      subject_hash: string
      state: 'queued' | 'running' | 'done'
      erased: {
        events: number
        segments: number
        decisions: number
        rejections: number
      }
      created_at: string
      finished_at: string | null
    }
  }
  /** What the checks of the contracts found in sealed hours. */
  'events.quality': {
    input: {
      query?: {
        limit?: number
        cursor?: string
        type?: string
        from?: string
        to?: string
        failed?: 'true' | 'false'
      }
    }
    reply: {
      data: Array<{
        type: string
        hour: string
        segment: string | null
        check: string
        kind: string
        value: number | null
        min: number | null
        max: number | null
        ok: boolean
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Declare a source of signed webhooks, or change it. */
  'hooks.declare': {
    input: {
      params: { source: string }
      body: {
        scheme: 'standard-webhooks' | 'stripe' | 'github'
        events: Record<string, {
          type: string
          fields?: Record<string, string>
          data?: string
          time?: string
          id?: string
        }>
        tolerance_s?: number
        secrets?: Record<string, string>
      }
    }
    reply: {
      name: string
      path: string
      scheme: 'standard-webhooks' | 'stripe' | 'github'
      events: Record<string, {
        type: string
        fields?: Record<string, string>
        data?: string
        time?: string
        id?: string
      }>
      tolerance_s: number
      secrets: Array<{
        name: string
        added_at: string
      }>
      created_at: string
      changed_at: string
    }
  }
  /** List the sources of signed webhooks. */
  'hooks.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        name: string
        path: string
        scheme: 'standard-webhooks' | 'stripe' | 'github'
        events: Record<string, {
          type: string
          fields?: Record<string, string>
          data?: string
          time?: string
          id?: string
        }>
        tolerance_s: number
        secrets: Array<{
          name: string
          added_at: string
        }>
        created_at: string
        changed_at: string
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show a source of signed webhooks. */
  'hooks.get': {
    input: {
      params: { source: string }
    }
    reply: {
      name: string
      path: string
      scheme: 'standard-webhooks' | 'stripe' | 'github'
      events: Record<string, {
        type: string
        fields?: Record<string, string>
        data?: string
        time?: string
        id?: string
      }>
      tolerance_s: number
      secrets: Array<{
        name: string
        added_at: string
      }>
      created_at: string
      changed_at: string
    }
  }
  /** Remove a source; its address answers nobody from then on. */
  'hooks.remove': {
    input: {
      params: { source: string }
    }
    reply: {
      name: string
      path: string
      scheme: 'standard-webhooks' | 'stripe' | 'github'
      events: Record<string, {
        type: string
        fields?: Record<string, string>
        data?: string
        time?: string
        id?: string
      }>
      tolerance_s: number
      secrets: Array<{
        name: string
        added_at: string
      }>
      created_at: string
      changed_at: string
    }
  }
  /** Take signatures by one more secret, beside those that there are. */
  'hooks.add_secret': {
    input: {
      params: { source: string; secret_name: string }
      body: {
        secret: string
      }
    }
    reply: {
      name: string
      path: string
      scheme: 'standard-webhooks' | 'stripe' | 'github'
      events: Record<string, {
        type: string
        fields?: Record<string, string>
        data?: string
        time?: string
        id?: string
      }>
      tolerance_s: number
      secrets: Array<{
        name: string
        added_at: string
      }>
      created_at: string
      changed_at: string
    }
  }
  /** Take no more signatures by this secret; everywhere within ten seconds. */
  'hooks.remove_secret': {
    input: {
      params: { source: string; secret_name: string }
    }
    reply: {
      name: string
      path: string
      scheme: 'standard-webhooks' | 'stripe' | 'github'
      events: Record<string, {
        type: string
        fields?: Record<string, string>
        data?: string
        time?: string
        id?: string
      }>
      tolerance_s: number
      secrets: Array<{
        name: string
        added_at: string
      }>
      created_at: string
      changed_at: string
    }
  }
  /** Take a webhook as an event: durable when it answers. Its signature is its key. */
  'hooks.receive': {
    input: {
      params: { source: string }
      body: Uint8Array<ArrayBuffer> | string
    }
    reply: {
      accepted: number
      ignored?: string
    }
  }
  /** Define a view; a change of anything that changes a value makes the next version. */
  'views.apply': {
    input: {
      params: { view: string }
      body: {
        entity: string
        event_type: string
        filter?: string
        allowed_lateness?: string
        features: Record<string, {
          agg: 'count' | 'sum' | 'avg' | 'min' | 'max' | 'var' | 'last' | 'first' | 'last_k' | 'distinct'
          of?: string
          window?: string
          hop?: string
          ttl?: string
          k?: number
        }>
      }
    }
    reply: {
      name: string
      version: number
      hash: string
      created_at: string
      definition: {
        entity: string
        event_type: string
        filter?: string
        allowed_lateness?: string
        features: Record<string, {
          agg: 'count' | 'sum' | 'avg' | 'min' | 'max' | 'var' | 'last' | 'first' | 'last_k' | 'distinct'
          of?: string
          window?: string
          hop?: string
          ttl?: string
          k?: number
        }>
      }
      features: Array<{
        name: string
        type: string
      }>
      warnings: Array<{
        pointer: string
        detail: string
      }>
    }
  }
  /** Say what a definition would change, and change nothing. */
  'views.plan': {
    input: {
      params: { view: string }
      body: {
        entity: string
        event_type: string
        filter?: string
        allowed_lateness?: string
        features: Record<string, {
          agg: 'count' | 'sum' | 'avg' | 'min' | 'max' | 'var' | 'last' | 'first' | 'last_k' | 'distinct'
          of?: string
          window?: string
          hop?: string
          ttl?: string
          k?: number
        }>
      }
    }
    reply: {
      name: string
      change: 'new' | 'same' | 'next'
      version: number
      hash: string
      warnings: Array<{
        pointer: string
        detail: string
      }>
    }
  }
  /** List views, each at its newest version. */
  'views.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        name: string
        version: number
        hash: string
        created_at: string
        definition: {
          entity: string
          event_type: string
          filter?: string
          allowed_lateness?: string
          features: Record<string, {
            agg: 'count' | 'sum' | 'avg' | 'min' | 'max' | 'var' | 'last' | 'first' | 'last_k' | 'distinct'
            of?: string
            window?: string
            hop?: string
            ttl?: string
            k?: number
          }>
        }
        features: Array<{
          name: string
          type: string
        }>
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show a view at its newest version. */
  'views.get': {
    input: {
      params: { view: string }
    }
    reply: {
      name: string
      version: number
      hash: string
      created_at: string
      definition: {
        entity: string
        event_type: string
        filter?: string
        allowed_lateness?: string
        features: Record<string, {
          agg: 'count' | 'sum' | 'avg' | 'min' | 'max' | 'var' | 'last' | 'first' | 'last_k' | 'distinct'
          of?: string
          window?: string
          hop?: string
          ttl?: string
          k?: number
        }>
      }
      features: Array<{
        name: string
        type: string
      }>
    }
  }
  /** Define what is read together; it pins the versions of its views. */
  'services.apply': {
    input: {
      params: { service: string }
      body: {
        features: Array<string>
        request?: Record<string, {
          type: 'int' | 'decimal' | 'float' | 'string' | 'bool' | 'time'
          scale?: number
        }>
        transforms?: Record<string, string>
      }
    }
    reply: {
      name: string
      version: number
      hash: string
      created_at: string
      definition: {
        features: Array<string>
        request?: Record<string, {
          type: 'int' | 'decimal' | 'float' | 'string' | 'bool' | 'time'
          scale?: number
        }>
        transforms?: Record<string, string>
      }
      views: Array<{
        name: string
        version: number
        hash: string
      }>
      features: Array<{
        name: string
        type: string
      }>
      warnings: Array<{
        pointer: string
        detail: string
      }>
    }
  }
  /** Say what a definition would change, and change nothing. */
  'services.plan': {
    input: {
      params: { service: string }
      body: {
        features: Array<string>
        request?: Record<string, {
          type: 'int' | 'decimal' | 'float' | 'string' | 'bool' | 'time'
          scale?: number
        }>
        transforms?: Record<string, string>
      }
    }
    reply: {
      name: string
      change: 'new' | 'same' | 'next'
      version: number
      hash: string
      warnings: Array<{
        pointer: string
        detail: string
      }>
    }
  }
  /** List services, each at its newest version. */
  'services.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        name: string
        version: number
        hash: string
        created_at: string
        definition: {
          features: Array<string>
          request?: Record<string, {
            type: 'int' | 'decimal' | 'float' | 'string' | 'bool' | 'time'
            scale?: number
          }>
          transforms?: Record<string, string>
        }
        views: Array<{
          name: string
          version: number
          hash: string
        }>
        features: Array<{
          name: string
          type: string
        }>
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show a service at its newest version. */
  'services.get': {
    input: {
      params: { service: string }
    }
    reply: {
      name: string
      version: number
      hash: string
      created_at: string
      definition: {
        features: Array<string>
        request?: Record<string, {
          type: 'int' | 'decimal' | 'float' | 'string' | 'bool' | 'time'
          scale?: number
        }>
        transforms?: Record<string, string>
      }
      views: Array<{
        name: string
        version: number
        hash: string
      }>
      features: Array<{
        name: string
        type: string
      }>
    }
  }
  /** Read the features of a service for some entities, as of now. */
  'features.read': {
    input: {
      params: { service: string }
      body: {
        entities: Array<Record<string, unknown>>
        request?: Array<Record<string, unknown>>
        min_seq?: Record<string, number>
      }
    }
    reply: {
      service: string
      version: number
      hash: string
      features: Array<string>
      results: Array<{
        values: Array<number | string | boolean | null | Array<number | string | boolean | null>>
        statuses: Array<'PRESENT' | 'NULL_VALUE' | 'NOT_FOUND' | 'OUTSIDE_MAX_AGE'>
        freshness: Array<{
          entity: string
          entity_key: string
          partition: number
          seq: number
          at: string
        }>
      }>
    }
  }
  /** Show the values of a view for one entity, and the events that make them. */
  'views.explain': {
    input: {
      params: { view: string }
      body: {
        key: string | number | boolean | Array<string | number | boolean>
        version?: number
        at?: string
      }
    }
    reply: {
      view: string
      version: number
      hash: string
      entity: string
      entity_key: string
      partition: number
      seq: number
      at: string
      values: Array<{
        feature: string
        value: number | string | boolean | null | Array<number | string | boolean | null>
        status: 'PRESENT' | 'NULL_VALUE' | 'NOT_FOUND' | 'OUTSIDE_MAX_AGE'
      }>
      events: Array<{
        time: string
        known_at: string
        seq: number
        retracted_at: string | null
        data: Record<string, number | string | boolean | null | Array<number | string | boolean | null>>
        features: Array<string>
        left_out: 'not_known_yet' | 'late' | 'retracted' | 'filtered' | 'older' | null
      }>
      events_total: number
    }
  }
  /** What reads that were sampled gave, and whether the log gives the same. */
  'features.skew': {
    input: {}
    reply: {
      views: Array<{
        view: string
        version: number
        sampled: number
        checked: number
        mismatches: number
        last_checked_at: string | null
      }>
      mismatches: Array<{
        view: string
        version: number
        entity: string
        entity_key: string
        at: string
        feature: string
        served: {
          value: number | string | boolean | null | Array<number | string | boolean | null>
          status: 'PRESENT' | 'NULL_VALUE' | 'NOT_FOUND' | 'OUTSIDE_MAX_AGE'
        }
        recomputed: {
          value: number | string | boolean | null | Array<number | string | boolean | null>
          status: 'PRESENT' | 'NULL_VALUE' | 'NOT_FOUND' | 'OUTSIDE_MAX_AGE'
        }
      }>
    }
  }
  /** Import a table; the same file under the same definition is the same version. */
  'tables.put': {
    input: {
      params: { table: string }
      body: {
        file: {
          sha256: string
          format: 'jsonl' | 'parquet'
        }
        fields: Record<string, {
          type: 'int' | 'decimal' | 'float' | 'string' | 'bool' | 'time'
          scale?: number
          optional?: true
          default?: string | number | boolean
          enum?: Array<string | number>
          min?: number
          max?: number
          length_max?: number
        }>
        entities: Record<string, string | Array<string>>
        time?: string
      }
    }
    reply: {
      name: string
      version: number
      file: {
        sha256: string
        size: number
        format: 'jsonl' | 'parquet'
      }
      time: string | null
      event_type: string
      event_type_version: number
      job: string
      state: 'queued' | 'running' | 'done' | 'failed' | 'canceled' | 'expired'
      rows: number | null
      rows_done: number
      error: {
        code: string
        detail: string
      } | null
      created_at: string
    }
  }
  /** List tables, each at its newest version. */
  'tables.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        name: string
        version: number
        file: {
          sha256: string
          size: number
          format: 'jsonl' | 'parquet'
        }
        time: string | null
        event_type: string
        event_type_version: number
        job: string
        state: 'queued' | 'running' | 'done' | 'failed' | 'canceled' | 'expired'
        rows: number | null
        rows_done: number
        error: {
          code: string
          detail: string
        } | null
        created_at: string
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show the versions of a table, the newest first. */
  'tables.get': {
    input: {
      params: { table: string }
    }
    reply: {
      versions: Array<{
        name: string
        version: number
        file: {
          sha256: string
          size: number
          format: 'jsonl' | 'parquet'
        }
        time: string | null
        event_type: string
        event_type_version: number
        job: string
        state: 'queued' | 'running' | 'done' | 'failed' | 'canceled' | 'expired'
        rows: number | null
        rows_done: number
        error: {
          code: string
          detail: string
        } | null
        created_at: string
      }>
    }
  }
  /** Read features as of now, in the form of Feast's feature server. */
  'feast.read': {
    input: {
      body: {
        features?: Array<string>
        feature_service?: string | null
        entities: Record<string, Array<unknown>>
        request_context?: Record<string, Array<unknown>> | null
        full_feature_names?: boolean
        include_feature_view_version_metadata?: boolean
      }
    }
    reply: {
      results: Array<{
        values: Array<unknown>
        statuses: Array<'PRESENT' | 'NULL_VALUE' | 'NOT_FOUND' | 'OUTSIDE_MAX_AGE'>
        event_timestamps: Array<string>
      }>
      metadata: {
        feature_names: Array<string>
        feature_view_metadata?: Array<{
          name: string
          version: number
        }>
      }
    }
  }
  /** Whether this answers, for clients of Feast. */
  'feast.health': {
    input: {}
    reply: Response
  }
  /** Define how a decision is made; a change makes the next version. */
  'endpoints.apply': {
    input: {
      params: { endpoint: string }
      body: {
        event_type: string
        gate: string
        service: string
        model?: {
          name: string
          version?: number | string
          tensor: string
          features: Array<string>
          missing?: Record<string, number>
          output: string
          output_index?: number
        }
        rules: Array<{
          name: string
          when: string
          answer?: string
        }>
        otherwise: string
      }
    }
    reply: {
      name: string
      version: number
      hash: string
      created_at: string
      definition: {
        event_type: string
        gate: string
        service: string
        model?: {
          name: string
          version?: number | string
          tensor: string
          features: Array<string>
          missing?: Record<string, number>
          output: string
          output_index: number
        }
        rules: Array<{
          name: string
          when: string
          answer?: string
        }>
        otherwise: string
      }
      service: {
        name: string
        version: number
        hash: string
      }
    }
  }
  /** List endpoints, each at its newest version. */
  'endpoints.list': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        name: string
        version: number
        hash: string
        created_at: string
        definition: {
          event_type: string
          gate: string
          service: string
          model?: {
            name: string
            version?: number | string
            tensor: string
            features: Array<string>
            missing?: Record<string, number>
            output: string
            output_index: number
          }
          rules: Array<{
            name: string
            when: string
            answer?: string
          }>
          otherwise: string
        }
        service: {
          name: string
          version: number
          hash: string
        }
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** Show an endpoint at its newest version. */
  'endpoints.get': {
    input: {
      params: { endpoint: string }
    }
    reply: {
      name: string
      version: number
      hash: string
      created_at: string
      definition: {
        event_type: string
        gate: string
        service: string
        model?: {
          name: string
          version?: number | string
          tensor: string
          features: Array<string>
          missing?: Record<string, number>
          output: string
          output_index: number
        }
        rules: Array<{
          name: string
          when: string
          answer?: string
        }>
        otherwise: string
      }
      service: {
        name: string
        version: number
        hash: string
      }
    }
  }
  /** Say what other rules, or another model, would have answered to decisions of the past. */
  'endpoints.backtest': {
    input: {
      params: { endpoint: string }
      body: {
        definition: {
          event_type: string
          gate: string
          service: string
          model?: {
            name: string
            version?: number | string
            tensor: string
            features: Array<string>
            missing?: Record<string, number>
            output: string
            output_index?: number
          }
          rules: Array<{
            name: string
            when: string
            answer?: string
          }>
          otherwise: string
        }
        limit?: number
      }
    }
    reply: {
      decisions: number
      compared: number
      changed: number
      skipped: Record<string, number>
      answers: Array<{
        from: string
        to: string
        count: number
        labels: Record<string, number>
      }>
      examples: Array<{
        source: string
        id: string
        from: string
        to: string
        score: number | null
      }>
    }
  }
  /** Judge an event by what was before it, and apply it, in one step. */
  'decisions.decide': {
    input: {
      params: { endpoint: string }
      body: {
        id: string
        source?: string
        time?: string
        data: Record<string, unknown>
        explain?: boolean
      }
    }
    reply: {
      decision: string
      score: number | null
      reasons: Array<{
        rule: string
        answer: string | null
      }>
      features: Record<string, number | string | boolean | null | Array<number | string | boolean | null>>
      model: {
        name: string
        version: number
        digest: string
        receipt: string
      } | null
      endpoint: {
        name: string
        version: number
      }
      event: {
        source: string
        id: string
        seq: number
        known_at: string
      }
      reads: Array<{
        entity: string
        entity_key: string
        partition: number
        seq: number
        at: string
      }>
      repeated: boolean
      explanation?: {
        method: 'replaced_by_missing'
        features: Array<{
          feature: string
          value: number
          replaced_by: number
          change: number
        }>
      }
    }
  }
  /** Make a decision again from its events, and say whether it is the same to the bit. */
  'decisions.replay': {
    input: {
      params: { endpoint: string }
      body: {
        id: string
        source?: string
      }
    }
    reply: {
      equal: boolean
      differs: Array<string>
      decided: {
        decision: string
        score: number | null
        reasons: Array<{
          rule: string
          answer: string | null
        }>
        features: Record<string, number | string | boolean | null | Array<number | string | boolean | null>>
        model: {
          name: string
          version: number
          digest: string
          receipt: string
        } | null
      } | null
      replayed: {
        decision: string
        score: number | null
        reasons: Array<{
          rule: string
          answer: string | null
        }>
        features: Record<string, number | string | boolean | null | Array<number | string | boolean | null>>
        model: {
          name: string
          version: number
          digest: string
          receipt: string
        } | null
      }
    }
  }
  /** Decisions of an endpoint, newest first. */
  'decisions.list': {
    input: {
      params: { endpoint: string }
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<{
        endpoint: {
          name: string
          version: number
        }
        event: {
          source: string
          id: string
          time: string
        } | null
        at: string
        outcome: {
          decision: string
          score: number | null
          reasons: Array<{
            rule: string
            answer: string | null
          }>
          features: Record<string, number | string | boolean | null | Array<number | string | boolean | null>>
          model: {
            name: string
            version: number
            digest: string
            receipt: string
          } | null
        } | null
        label: {
          value: number | boolean | string
          at: string
        } | null
      }>
      has_more: boolean
      next_cursor: string | null
    }
  }
  /** One decision by the source and id of its event. */
  'decisions.find': {
    input: {
      params: { endpoint: string }
      query?: {
        id: string
        source?: string
      }
    }
    reply: {
      endpoint: {
        name: string
        version: number
      }
      event: {
        source: string
        id: string
        time: string
      } | null
      at: string
      outcome: {
        decision: string
        score: number | null
        reasons: Array<{
          rule: string
          answer: string | null
        }>
        features: Record<string, number | string | boolean | null | Array<number | string | boolean | null>>
        model: {
          name: string
          version: number
          digest: string
          receipt: string
        } | null
      } | null
      label: {
        value: number | boolean | string
        at: string
      } | null
    }
  }
  /** Say how a decision turned out; the newest word counts. */
  'decisions.feedback': {
    input: {
      body: {
        id: string
        source?: string
        endpoint: string
        label: number | boolean | string
        at?: string
      }
    }
    reply: {
      endpoint: {
        name: string
        version: number
      }
      event: {
        source: string
        id: string
        time: string
      } | null
      at: string
      outcome: {
        decision: string
        score: number | null
        reasons: Array<{
          rule: string
          answer: string | null
        }>
        features: Record<string, number | string | boolean | null | Array<number | string | boolean | null>>
        model: {
          name: string
          version: number
          digest: string
          receipt: string
        } | null
      } | null
      label: {
        value: number | boolean | string
        at: string
      } | null
    }
  }
  /** Totals of a period, by model, key, project, job, day or hour. */
  'usage.totals': {
    input: {
      query?: {
        from?: string
        to?: string
        group_by?: string
      }
    }
    reply: {
      from: string | null
      to: string | null
      total: Quantities
      data: Array<{
        receipts: number
        requests: number
        rows: number
        compute_us: number
        bytes_in: number
        bytes_out: number
        tokens: number
        group: Record<string, string | null>
      }>
    }
  }
  /** Receipts in ledger order; a cursor never skips one that comes later. */
  'usage.receipts': {
    input: {
      query?: {
        limit?: number
        cursor?: string
      }
    }
    reply: {
      data: Array<Receipt>
      has_more: boolean
      next_cursor: string | null
    }
  }
}

export type RouteName = keyof Contract

export type RouteEntry = {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  path: string
  /** Takes an Idempotency-Key. */
  idempotent: boolean
  /** The body is bytes. */
  raw: boolean
  /** The answer is JSON. */
  json: boolean
}

export const ROUTES: Record<RouteName, RouteEntry> = {
  'health.live': { method: 'GET', path: '/health/live', idempotent: false, raw: false, json: true },
  'health.ready': { method: 'GET', path: '/health/ready', idempotent: false, raw: false, json: true },
  'docs.errors': { method: 'GET', path: '/docs/errors', idempotent: false, raw: false, json: false },
  'metrics': { method: 'GET', path: '/metrics', idempotent: false, raw: false, json: false },
  'openapi': { method: 'GET', path: '/openapi.json', idempotent: false, raw: false, json: false },
  'tenants.create': { method: 'POST', path: '/v1/tenants', idempotent: true, raw: false, json: true },
  'tenants.list': { method: 'GET', path: '/v1/tenants', idempotent: false, raw: false, json: true },
  'tenants.get': { method: 'GET', path: '/v1/tenants/:tenant_id', idempotent: false, raw: false, json: true },
  'tenants.limit': { method: 'PUT', path: '/v1/tenants/:tenant_id/limits', idempotent: false, raw: false, json: true },
  'keys.whoami': { method: 'GET', path: '/v1/whoami', idempotent: false, raw: false, json: true },
  'keys.create': { method: 'POST', path: '/v1/keys', idempotent: true, raw: false, json: true },
  'keys.list': { method: 'GET', path: '/v1/keys', idempotent: false, raw: false, json: true },
  'keys.get': { method: 'GET', path: '/v1/keys/:key_id', idempotent: false, raw: false, json: true },
  'keys.rotate': { method: 'POST', path: '/v1/keys/:key_id/rotate', idempotent: true, raw: false, json: true },
  'keys.revoke': { method: 'DELETE', path: '/v1/keys/:key_id', idempotent: false, raw: false, json: true },
  'audit.list': { method: 'GET', path: '/v1/audit', idempotent: false, raw: false, json: true },
  'uploads.create': { method: 'POST', path: '/v1/uploads', idempotent: true, raw: false, json: true },
  'uploads.get': { method: 'GET', path: '/v1/uploads/:upload_id', idempotent: false, raw: false, json: true },
  'uploads.part': { method: 'PUT', path: '/v1/uploads/:upload_id/parts/:number', idempotent: false, raw: true, json: true },
  'uploads.complete': { method: 'POST', path: '/v1/uploads/:upload_id/complete', idempotent: false, raw: false, json: true },
  'models.publish': { method: 'POST', path: '/v1/registry/models/:model/versions', idempotent: true, raw: false, json: true },
  'models.list': { method: 'GET', path: '/v1/registry/models', idempotent: false, raw: false, json: true },
  'models.get': { method: 'GET', path: '/v1/registry/models/:model', idempotent: false, raw: false, json: true },
  'models.versions': { method: 'GET', path: '/v1/registry/models/:model/versions', idempotent: false, raw: false, json: true },
  'models.version': { method: 'GET', path: '/v1/registry/models/:model/versions/:version', idempotent: false, raw: false, json: true },
  'models.delete': { method: 'DELETE', path: '/v1/registry/models/:model/versions/:version', idempotent: false, raw: false, json: true },
  'models.serving': { method: 'GET', path: '/v1/registry/models/:model/serving', idempotent: false, raw: false, json: true },
  'models.change_serving': { method: 'PUT', path: '/v1/registry/models/:model/serving', idempotent: false, raw: false, json: true },
  'models.alias': { method: 'PUT', path: '/v1/registry/models/:model/aliases/:alias', idempotent: false, raw: false, json: true },
  'models.unalias': { method: 'DELETE', path: '/v1/registry/models/:model/aliases/:alias', idempotent: false, raw: false, json: true },
  'models.switches': { method: 'GET', path: '/v1/registry/models/:model/switches', idempotent: false, raw: false, json: true },
  'models.rollout': { method: 'PUT', path: '/v1/registry/models/:model/rollout', idempotent: false, raw: false, json: true },
  'models.rollout_report': { method: 'GET', path: '/v1/registry/models/:model/rollout', idempotent: false, raw: false, json: true },
  'models.promote': { method: 'POST', path: '/v1/registry/models/:model/promote', idempotent: false, raw: false, json: true },
  'models.rollback': { method: 'POST', path: '/v1/registry/models/:model/rollback', idempotent: false, raw: false, json: true },
  'inferences.list': { method: 'GET', path: '/v1/registry/models/:model/inferences', idempotent: false, raw: false, json: true },
  'inferences.segments': { method: 'GET', path: '/v1/registry/models/:model/inferences/segments', idempotent: false, raw: false, json: true },
  'inferences.segment_content': { method: 'GET', path: '/v1/registry/models/:model/inferences/segments/:segment_id/content', idempotent: false, raw: false, json: false },
  'oip.server': { method: 'GET', path: '/v2', idempotent: false, raw: false, json: true },
  'oip.live': { method: 'GET', path: '/v2/health/live', idempotent: false, raw: false, json: true },
  'oip.ready': { method: 'GET', path: '/v2/health/ready', idempotent: false, raw: false, json: true },
  'oip.stats': { method: 'GET', path: '/v2/models/stats', idempotent: false, raw: false, json: true },
  'oip.metadata': { method: 'GET', path: '/v2/models/:model', idempotent: false, raw: false, json: true },
  'oip.metadata_version': { method: 'GET', path: '/v2/models/:model/versions/:version', idempotent: false, raw: false, json: true },
  'oip.model_ready': { method: 'GET', path: '/v2/models/:model/ready', idempotent: false, raw: false, json: true },
  'oip.version_ready': { method: 'GET', path: '/v2/models/:model/versions/:version/ready', idempotent: false, raw: false, json: true },
  'oip.config': { method: 'GET', path: '/v2/models/:model/config', idempotent: false, raw: false, json: true },
  'oip.config_version': { method: 'GET', path: '/v2/models/:model/versions/:version/config', idempotent: false, raw: false, json: true },
  'oip.model_stats': { method: 'GET', path: '/v2/models/:model/stats', idempotent: false, raw: false, json: true },
  'oip.version_stats': { method: 'GET', path: '/v2/models/:model/versions/:version/stats', idempotent: false, raw: false, json: true },
  'oip.index': { method: 'POST', path: '/v2/repository/index', idempotent: false, raw: true, json: true },
  'oip.load': { method: 'POST', path: '/v2/repository/models/:model/load', idempotent: false, raw: true, json: true },
  'oip.unload': { method: 'POST', path: '/v2/repository/models/:model/unload', idempotent: false, raw: true, json: true },
  'oip.infer': { method: 'POST', path: '/v2/models/:model/infer', idempotent: false, raw: true, json: true },
  'oip.infer_version': { method: 'POST', path: '/v2/models/:model/versions/:version/infer', idempotent: false, raw: true, json: true },
  'openai.models': { method: 'GET', path: '/v1/models', idempotent: false, raw: false, json: true },
  'openai.model': { method: 'GET', path: '/v1/models/:model', idempotent: false, raw: false, json: true },
  'openai.embeddings': { method: 'POST', path: '/v1/embeddings', idempotent: false, raw: true, json: true },
  'openai.create_file': { method: 'POST', path: '/v1/files', idempotent: false, raw: true, json: true },
  'openai.files': { method: 'GET', path: '/v1/files', idempotent: false, raw: false, json: true },
  'openai.file': { method: 'GET', path: '/v1/files/:file_id', idempotent: false, raw: false, json: true },
  'openai.delete_file': { method: 'DELETE', path: '/v1/files/:file_id', idempotent: false, raw: false, json: true },
  'openai.file_content': { method: 'GET', path: '/v1/files/:file_id/content', idempotent: false, raw: false, json: false },
  'openai.create_batch': { method: 'POST', path: '/v1/batches', idempotent: true, raw: false, json: true },
  'openai.batches': { method: 'GET', path: '/v1/batches', idempotent: false, raw: false, json: true },
  'openai.batch': { method: 'GET', path: '/v1/batches/:batch_id', idempotent: false, raw: false, json: true },
  'openai.cancel_batch': { method: 'POST', path: '/v1/batches/:batch_id/cancel', idempotent: false, raw: false, json: true },
  'jobs.create': { method: 'POST', path: '/v1/jobs', idempotent: true, raw: false, json: true },
  'jobs.list': { method: 'GET', path: '/v1/jobs', idempotent: false, raw: false, json: true },
  'jobs.get': { method: 'GET', path: '/v1/jobs/:job_id', idempotent: false, raw: false, json: true },
  'jobs.cancel': { method: 'POST', path: '/v1/jobs/:job_id/cancel', idempotent: false, raw: false, json: true },
  'jobs.results': { method: 'GET', path: '/v1/jobs/:job_id/results', idempotent: false, raw: false, json: false },
  'event_types.declare': { method: 'PUT', path: '/v1/event-types/:type', idempotent: false, raw: false, json: true },
  'event_types.list': { method: 'GET', path: '/v1/event-types', idempotent: false, raw: false, json: true },
  'event_types.get': { method: 'GET', path: '/v1/event-types/:type', idempotent: false, raw: false, json: true },
  'events.send': { method: 'POST', path: '/v1/events', idempotent: false, raw: true, json: true },
  'events.list': { method: 'GET', path: '/v1/events', idempotent: false, raw: false, json: true },
  'events.find': { method: 'GET', path: '/v1/events/find', idempotent: false, raw: false, json: true },
  'events.rejected': { method: 'GET', path: '/v1/events/rejected', idempotent: false, raw: false, json: true },
  'events.segments': { method: 'GET', path: '/v1/events/segments', idempotent: false, raw: false, json: true },
  'events.segment_content': { method: 'GET', path: '/v1/events/segments/:segment_id/content', idempotent: false, raw: false, json: false },
  'events.export': { method: 'GET', path: '/v1/events/export', idempotent: false, raw: false, json: true },
  'events.export_rest': { method: 'GET', path: '/v1/events/export/rest', idempotent: false, raw: false, json: false },
  'events.settings': { method: 'GET', path: '/v1/events/settings', idempotent: false, raw: false, json: true },
  'events.change_settings': { method: 'PUT', path: '/v1/events/settings', idempotent: false, raw: false, json: true },
  'erasures.create': { method: 'POST', path: '/v1/events/erasures', idempotent: true, raw: false, json: true },
  'erasures.list': { method: 'GET', path: '/v1/events/erasures', idempotent: false, raw: false, json: true },
  'erasures.get': { method: 'GET', path: '/v1/events/erasures/:erasure_id', idempotent: false, raw: false, json: true },
  'events.quality': { method: 'GET', path: '/v1/events/quality', idempotent: false, raw: false, json: true },
  'hooks.declare': { method: 'PUT', path: '/v1/hook-sources/:source', idempotent: false, raw: false, json: true },
  'hooks.list': { method: 'GET', path: '/v1/hook-sources', idempotent: false, raw: false, json: true },
  'hooks.get': { method: 'GET', path: '/v1/hook-sources/:source', idempotent: false, raw: false, json: true },
  'hooks.remove': { method: 'DELETE', path: '/v1/hook-sources/:source', idempotent: false, raw: false, json: true },
  'hooks.add_secret': { method: 'PUT', path: '/v1/hook-sources/:source/secrets/:secret_name', idempotent: false, raw: false, json: true },
  'hooks.remove_secret': { method: 'DELETE', path: '/v1/hook-sources/:source/secrets/:secret_name', idempotent: false, raw: false, json: true },
  'hooks.receive': { method: 'POST', path: '/v1/hooks/:source', idempotent: false, raw: true, json: true },
  'views.apply': { method: 'PUT', path: '/v1/feature-views/:view', idempotent: false, raw: false, json: true },
  'views.plan': { method: 'POST', path: '/v1/feature-views/:view/plan', idempotent: false, raw: false, json: true },
  'views.list': { method: 'GET', path: '/v1/feature-views', idempotent: false, raw: false, json: true },
  'views.get': { method: 'GET', path: '/v1/feature-views/:view', idempotent: false, raw: false, json: true },
  'services.apply': { method: 'PUT', path: '/v1/feature-services/:service', idempotent: false, raw: false, json: true },
  'services.plan': { method: 'POST', path: '/v1/feature-services/:service/plan', idempotent: false, raw: false, json: true },
  'services.list': { method: 'GET', path: '/v1/feature-services', idempotent: false, raw: false, json: true },
  'services.get': { method: 'GET', path: '/v1/feature-services/:service', idempotent: false, raw: false, json: true },
  'features.read': { method: 'POST', path: '/v1/features/:service/read', idempotent: false, raw: false, json: true },
  'views.explain': { method: 'POST', path: '/v1/feature-views/:view/explain', idempotent: false, raw: false, json: true },
  'features.skew': { method: 'GET', path: '/v1/features/skew', idempotent: false, raw: false, json: true },
  'tables.put': { method: 'PUT', path: '/v1/tables/:table', idempotent: false, raw: false, json: true },
  'tables.list': { method: 'GET', path: '/v1/tables', idempotent: false, raw: false, json: true },
  'tables.get': { method: 'GET', path: '/v1/tables/:table', idempotent: false, raw: false, json: true },
  'feast.read': { method: 'POST', path: '/feast/get-online-features', idempotent: false, raw: false, json: true },
  'feast.health': { method: 'GET', path: '/feast/health', idempotent: false, raw: false, json: false },
  'endpoints.apply': { method: 'PUT', path: '/v1/decision-endpoints/:endpoint', idempotent: false, raw: false, json: true },
  'endpoints.list': { method: 'GET', path: '/v1/decision-endpoints', idempotent: false, raw: false, json: true },
  'endpoints.get': { method: 'GET', path: '/v1/decision-endpoints/:endpoint', idempotent: false, raw: false, json: true },
  'endpoints.backtest': { method: 'POST', path: '/v1/decision-endpoints/:endpoint/backtest', idempotent: false, raw: false, json: true },
  'decisions.decide': { method: 'POST', path: '/v1/decisions/:endpoint', idempotent: false, raw: false, json: true },
  'decisions.replay': { method: 'POST', path: '/v1/decisions/:endpoint/replay', idempotent: false, raw: false, json: true },
  'decisions.list': { method: 'GET', path: '/v1/decisions/:endpoint', idempotent: false, raw: false, json: true },
  'decisions.find': { method: 'GET', path: '/v1/decisions/:endpoint/find', idempotent: false, raw: false, json: true },
  'decisions.feedback': { method: 'POST', path: '/v1/feedback', idempotent: false, raw: false, json: true },
  'usage.totals': { method: 'GET', path: '/v1/usage', idempotent: false, raw: false, json: true },
  'usage.receipts': { method: 'GET', path: '/v1/receipts', idempotent: false, raw: false, json: true },
}
