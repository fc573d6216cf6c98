/** What is asked of all runners at once: to give memory back, and what they counted. */
import type { Statistics, StatisticsCall, UnloadCall } from '#core/router.ts'
import type { Counted, Question } from '#gpu-runners/online/questions.ts'
import { merge } from '#gpu-runners/online/statistics.ts'
import { question, type Runner, RunnerLost } from './runner.ts'

export function openAsking(runners: Iterable<Runner>, nextId: () => number) {
  /** Of each that is still there; one that is lost meanwhile holds nothing and counts nothing. */
  async function ask(
    some: Runner[],
    asked: Question,
  ): Promise<{ name: string; counted?: Counted }[]> {
    const answers = await Promise.all(
      some.map(async runner => {
        try {
          const answer = await question(runner, nextId(), asked)
          return [{ name: runner.name, ...('ok' in answer && { counted: answer.counted }) }]
        } catch (error) {
          if (error instanceof RunnerLost) return []
          throw error
        }
      }),
    )
    return answers.flat()
  }

  return {
    async unload({ call, digests }: UnloadCall): Promise<void> {
      const { tenantId } = call.caller
      const holding = [...runners].filter(({ warm }) => digests.some(digest => warm.has(digest)))
      await ask(holding, { do: 'unload', tenantId, digests })
    },

    async statistics({ call, model, version }: StatisticsCall): Promise<Statistics> {
      const { tenantId } = call.caller
      const answers = await ask([...runners], { do: 'count', tenantId, model, version })
      const models: Statistics['models'] = []
      for (const { counted } of answers) {
        for (const each of counted!.models) {
          const known = models.find(m => m.model === each.model && m.version === each.version)
          if (known) merge(known, each)
          else models.push(each)
        }
      }
      return {
        runners: answers.map(({ name, counted }) => ({ name, sinceMs: counted!.sinceMs })),
        models,
      }
    },
  }
}
