/** The control API's way in: one name with its certificate, and each request as it is to one function. */
import * as gateway from '@pulumi/aws/apigatewayv2/index.js'
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as lambda from '@pulumi/aws/lambda/index.js'
import * as pulumi from '@pulumi/pulumi'
import { certificateOf, nameAt } from './edge.ts'
import type { Functions } from './functions.ts'
import { type Deployment, hostOf, nameOf, tagsOf } from './settings.ts'

/** A flood of what is not signed ends here; tenants are limited at the edge. */
const REQUESTS_PER_S = 500

export function apiGateway(deployment: Deployment, { api: handler }: Functions): gateway.Api {
  const tags = tagsOf(deployment, 'functions')
  const api = new gateway.Api('api', {
    name: nameOf(deployment, 'api'),
    protocolType: 'HTTP',
    // One way in, whose name and certificate are ours.
    disableExecuteApiEndpoint: true,
    tags,
  })
  const integration = new gateway.Integration('api-function', {
    apiId: api.id,
    integrationType: 'AWS_PROXY',
    integrationUri: handler.invokeArn,
    payloadFormatVersion: '2.0',
    timeoutMilliseconds: 30_000,
  })
  new gateway.Route('api-all', {
    apiId: api.id,
    routeKey: '$default',
    target: pulumi.interpolate`integrations/${integration.id}`,
  })
  new lambda.Permission('api-may-invoke', {
    action: 'lambda:InvokeFunction',
    function: handler.name,
    principal: 'apigateway.amazonaws.com',
    sourceArn: pulumi.interpolate`${api.executionArn}/*`,
  })
  const logs = new cloudwatch.LogGroup('logs-gateway', {
    name: `/galley/${deployment.stage}/gateway`,
    retentionInDays: deployment.settings.logDays,
    tags,
  })
  const stage = new gateway.Stage('api-stage', {
    apiId: api.id,
    name: '$default',
    autoDeploy: true,
    defaultRouteSettings: {
      throttlingRateLimit: REQUESTS_PER_S,
      throttlingBurstLimit: 2 * REQUESTS_PER_S,
    },
    accessLogSettings: {
      destinationArn: logs.arn,
      format: JSON.stringify({
        id: '$context.requestId',
        method: '$context.httpMethod',
        path: '$context.path',
        status: '$context.status',
        ms: '$context.responseLatency',
      }),
    },
    tags,
  })
  const domain = new gateway.DomainName('api-domain', {
    domainName: hostOf(deployment, 'functions'),
    domainNameConfiguration: {
      certificateArn: certificateOf(deployment, 'functions'),
      endpointType: 'REGIONAL',
      securityPolicy: 'TLS_1_2',
    },
    tags,
  })
  const ids = { apiId: api.id, domainName: domain.id, stage: stage.id }
  new gateway.ApiMapping('api-mapping', ids)
  nameAt(deployment, 'functions', domain.domainNameConfiguration.targetDomainName)
  return api
}
