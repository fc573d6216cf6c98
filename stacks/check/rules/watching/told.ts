/** That alarms and the budget reach somebody, who then has a page to open. */
import type { Inputs } from '../../graph.ts'
import { all, faulty, inputs, type Rule, without } from '../../rule.ts'

export const toldRules: Rule[] = [
  {
    name: 'each alarm reaches somebody, and names a part of the runbook that there is',
    faults: graph =>
      faulty(all(graph, 'cloudwatch/metricAlarm'), ({ alarmActions = [], alarmDescription }) => {
        if (alarmActions.length === 0) return 'calls nobody'
        const [page, anchor] = String(alarmDescription).split('#')
        if (page !== 'docs/runbook.md') return 'names no runbook'
        return (
          !headingsOf(graph.texts.runbook).has(String(anchor)) &&
          `docs/runbook.md has no heading #${anchor}`
        )
      }),
    plants: [
      graph => {
        inputs(graph, 'alarm-database-full').alarmActions = []
      },
      graph => {
        inputs(graph, 'alarm-database-full').alarmDescription = 'docs/runbook.md#look-it-up'
      },
    ],
  },
  {
    name: 'the month has a budget, by the tags of its stage, that calls before it is spent',
    faults: graph => {
      const found = all(graph, 'budgets/budget')
      if (found.length !== 1) return [`there are ${found.length} budgets`]
      return faulty(found, ({ costFilters = [], notifications = [], limitAmount }) => {
        if (!(Number(limitAmount) > 0)) return 'has no amount'
        if (!JSON.stringify(costFilters).includes(`galley:stage$${graph.stage}`))
          return 'counts what other stages spend'
        return !notifications.some((each: Inputs) => each.threshold < 100) && 'calls too late'
      })
    },
    plants: [
      graph => without(graph, 'spend'),
      graph => {
        inputs(graph, 'spend').costFilters = []
      },
      graph => {
        inputs(graph, 'spend').notifications = []
      },
    ],
  },
]

/** The anchors of the headings of a page. */
function headingsOf(text: string): Set<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!)
  return new Set(
    headings.map(each =>
      each
        .toLowerCase()
        .replace(/[^\w\s-]/g, '')
        .replace(/\s/g, '-'),
    ),
  )
}
