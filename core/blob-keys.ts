/** Where each kind of blob stands. The first segment is always the tenant. */
import type { ExportId, FileId, RunId, SegmentId, TenantId, UploadId } from '#schemas/ids.ts'

export const file = (tenant: TenantId, sha256: string) => `${tenant}/files/${sha256}`
export const upload = (tenant: TenantId, id: UploadId) => `${tenant}/uploads/${id}`
/** The epoch is in the key: a runner that comes back from the dead overwrites nothing. */
export const shard = (tenant: TenantId, run: RunId, number: number, epoch: number) =>
  `${tenant}/runs/${run}/shard-${number}-${epoch}`
export const result = (tenant: TenantId, run: RunId, epoch: number) =>
  `${tenant}/runs/${run}/result-${epoch}`
/** Of batches: what was uploaded, and what was made of it. */
export const batchFile = (tenant: TenantId, id: FileId) => `${tenant}/batch-files/${id}`
export const segment = (tenant: TenantId, id: SegmentId) => `${tenant}/segments/${id}`
export const inferences = (tenant: TenantId, id: SegmentId) => `${tenant}/inferences/${id}`
/** Made for one reader, and gone after a while. */
export const exported = (tenant: TenantId, id: ExportId) => `${exportsOf(tenant)}${id}`
export const exportsOf = (tenant: TenantId) => `${tenant}/exports/`
