/** What a deployment traces: stacks and `wrangler.toml` say the same of it. */

/** Of the requests of a stage, where there is a receiver of spans. */
export const TRACES_RATIOS = { dev: 1, staging: 0.1, production: 0.01 }

/** Spans of several stages may go to one receiver. */
export const resourceOf = (stage: string) => `deployment.environment.name=${stage}`

/** By the trace's id alone: whoever may reach a place does not decide what is traced. */
export const TRACES_SAMPLER = 'traceidratio'
