/** What functions do by the clock: each schedule of the table invokes its function, and nothing else. */
import * as lambda from '@pulumi/aws/lambda/index.js'
import * as scheduler from '@pulumi/aws/scheduler/index.js'
import { SCHEDULES } from '../schemas/schedules.ts'
import type { Functions } from './functions.ts'
import { roleOf } from './policy.ts'
import { type Deployment, nameOf } from './settings.ts'

/** The shortest that EventBridge knows. */
const MINUTE_S = 60
/**
 * A call waits while the one before it works, at Lambda: not for ever, and for as long as what is due once an
 * hour needs.
 */
const WAITS_S = 3_600

/** Between calls: what is due more often repeats within one. */
export function callEveryS(name: keyof typeof SCHEDULES): number {
  return Math.ceil(Math.max(MINUTE_S, SCHEDULES[name].everyS) / MINUTE_S) * MINUTE_S
}

export function schedules(deployment: Deployment, functions: Functions): void {
  for (const name of Object.keys(SCHEDULES) as (keyof typeof SCHEDULES)[]) {
    const minutes = callEveryS(name) / MINUTE_S
    const { arn, name: functionName } = functions[name]
    const role = roleOf(
      deployment,
      { name: `schedule-${name}`, service: 'scheduler.amazonaws.com', part: 'functions' },
      [{ Action: ['lambda:InvokeFunction'], Resource: arn }],
    )
    new scheduler.Schedule(`schedule-${name}`, {
      name: nameOf(deployment, name),
      scheduleExpression: `rate(${minutes} minute${minutes === 1 ? '' : 's'})`,
      flexibleTimeWindow: { mode: 'OFF' },
      target: {
        arn,
        roleArn: role.arn,
        // For which time it calls: a call that waited is still that of its own minute.
        input: JSON.stringify({ at: '<aws.scheduler.scheduled-time>' }),
        // The next one comes in any case: one that is late is not worth a second attempt.
        retryPolicy: { maximumRetryAttempts: 0, maximumEventAgeInSeconds: MINUTE_S },
      },
    })
    // What Lambda has taken it would call twice again, were it not told either.
    new lambda.FunctionEventInvokeConfig(`calls-${name}`, {
      functionName,
      maximumRetryAttempts: 0,
      maximumEventAgeInSeconds: WAITS_S,
    })
  }
}
