/** Where alarms go: a topic that mails whoever is on call, and the month's budget, which calls there too. */
import * as budgets from '@pulumi/aws/budgets/index.js'
import * as sns from '@pulumi/aws/sns/index.js'
import { policyOf } from '../policy.ts'
import type { Secrets } from '../secrets.ts'
import { type Deployment, nameOf, tagsOf } from '../settings.ts'

export function topicOf(deployment: Deployment, { key }: Secrets): sns.Topic {
  const topic = new sns.Topic('alarms', {
    name: nameOf(deployment, 'alarms'),
    kmsMasterKeyId: key.arn,
    tags: tagsOf(deployment, 'alarms'),
  })
  new sns.TopicSubscription('alarms-email', {
    topic: topic.arn,
    protocol: 'email',
    endpoint: deployment.alarmEmail,
  })
  new sns.TopicPolicy('alarms-policy', {
    arn: topic.arn,
    policy: policyOf([
      {
        Principal: { Service: ['cloudwatch.amazonaws.com', 'budgets.amazonaws.com'] },
        Action: ['sns:Publish'],
        Resource: topic.arn,
        Condition: { StringEquals: { 'aws:SourceAccount': deployment.account } },
      },
    ]),
  })
  return topic
}

/** What this stage costs by its tags, so that stages may share an account. */
export function spend(deployment: Deployment, topic: sns.Topic): void {
  const notification = (notificationType: string, threshold: number) => ({
    comparisonOperator: 'GREATER_THAN',
    notificationType,
    threshold,
    thresholdType: 'PERCENTAGE',
    subscriberSnsTopicArns: [topic.arn],
  })
  new budgets.Budget('spend', {
    name: nameOf(deployment, 'spend'),
    budgetType: 'COST',
    timeUnit: 'MONTHLY',
    limitAmount: String(deployment.settings.spendUsd),
    limitUnit: 'USD',
    costFilters: [{ name: 'TagKeyValue', values: [`user:galley:stage$${deployment.stage}`] }],
    notifications: [notification('ACTUAL', 80), notification('FORECASTED', 100)],
    tags: tagsOf(deployment, 'alarms'),
  })
}
