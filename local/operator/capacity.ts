/** How many runners there are to be, and why: decisions as they are kept, for whoever runs a deployment. */
import type { Kept } from '#core/capacity/capacity.ts'
import { askFunctions, type Deployment } from './functions.ts'

const PATH = '/internal/capacity/decisions'
const EXPLAINED_MAX = 10

type Asked = { verb: 'show' | 'explain'; hardware: string | undefined; isJson: boolean }

/** `show`: the newest decision of each class; `explain`: the last ten, with their reasons. */
export async function capacityReport(
  deployment: Deployment,
  { verb, hardware, isJson }: Asked,
): Promise<string> {
  const max = verb === 'show' ? 1 : EXPLAINED_MAX
  const asked = { hardware, max }
  const { decisions } = (await askFunctions(deployment, PATH, asked)) as { decisions: Kept[] }
  if (isJson) return `${JSON.stringify(decisions.map(inWire))}\n`
  if (decisions.length === 0)
    return hardware
      ? `Nothing has been decided for ${hardware} yet.\n`
      : 'Nothing has been decided yet.\n'
  const lines = decisions.flatMap(decision => [
    line(decision),
    ...(verb === 'explain' ? decision.reasons.map(reason => `    ${reason}`) : []),
  ])
  return `${lines.join('\n')}\n`
}

function line({ hardware, spot, onDemand, needed, sinceAt, untilAt }: Kept): string {
  const when = `since ${iso(sinceAt)}, last so at ${iso(untilAt)}`
  return `${hardware}: ${spot + onDemand} runners (${spot} spot, ${onDemand} on-demand), work for ${needed}; ${when}`
}

const inWire = ({ sinceAt, untilAt, onDemand, ...decision }: Kept) => ({
  ...decision,
  on_demand: onDemand,
  since: iso(sinceAt),
  until: iso(untilAt),
})
const iso = (at: number) => new Date(at).toISOString()
