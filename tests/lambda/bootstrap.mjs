/**
 * The runtime's half of Lambda's Runtime API, as Node's does it: loads the handler, then takes one invocation
 * after the other. It stands outside the bundle, which knows nothing of it.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const { AWS_LAMBDA_RUNTIME_API: host, _HANDLER: named, LAMBDA_TASK_ROOT: root } = process.env
const base = `http://${host}/2018-06-01/runtime`
const post = (path, body, headers = {}) =>
  fetch(base + path, { method: 'POST', body: JSON.stringify(body), headers })
const faultOf = error => ({
  errorType: error?.name ?? 'Error',
  errorMessage: String(error?.message ?? error),
  trace: String(error?.stack ?? '').split('\n'),
})
const [file, name] = named.split('.')

let handler
try {
  handler = (await import(pathToFileURL(join(root, `${file}.mjs`)).href))[name]
  if (typeof handler !== 'function') throw new Error(`${named} is not exported`)
} catch (error) {
  const type = { 'lambda-runtime-function-error-type': 'Runtime.InitError' }
  await post('/init/error', faultOf(error), type)
  process.exit(1)
}

for (;;) {
  const next = await fetch(`${base}/invocation/next`)
  const awsRequestId = next.headers.get('lambda-runtime-aws-request-id')
  const deadlineMs = Number(next.headers.get('lambda-runtime-deadline-ms'))
  process.env._X_AMZN_TRACE_ID = next.headers.get('lambda-runtime-trace-id') ?? ''
  const context = {
    awsRequestId,
    invokedFunctionArn: next.headers.get('lambda-runtime-invoked-function-arn'),
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    getRemainingTimeInMillis: () => deadlineMs - Date.now(),
  }
  try {
    const reply = await handler(await next.json(), context)
    await post(`/invocation/${awsRequestId}/response`, reply ?? null)
  } catch (error) {
    await post(`/invocation/${awsRequestId}/error`, faultOf(error))
  }
}
