/** The measures of all processes, as Prometheus reads them. */
import { TEXT_TYPE, textOf } from '#platform/metrics/text.ts'
import type { EdgeDeps } from '../deps.ts'

export async function measures({ metrics }: EdgeDeps): Promise<Response> {
  const text = textOf(await metrics.readings())
  return new Response(text, { headers: { 'content-type': TEXT_TYPE } })
}
