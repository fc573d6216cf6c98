/** What the environment says of traces: by OpenTelemetry's names, and what is malformed is named at the start. */
import { expect, test } from 'vitest'
import { traceSettings } from '#platform/traces/settings.ts'

const at = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }

test('without an endpoint, or with a sampler that never samples, nothing is traced', () => {
  expect(traceSettings({}, 'edge')).toBeNull()
  expect(traceSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: '' }, 'edge')).toBeNull()
  expect(traceSettings({ ...at, OTEL_TRACES_SAMPLER: 'always_off' }, 'edge')).toBeNull()
  expect(traceSettings({ ...at, OTEL_SDK_DISABLED: 'true' }, 'edge')).toBeNull()
})

test('an endpoint alone traces what its callers trace, and everything else', () => {
  expect(traceSettings(at, 'edge')).toEqual({
    url: 'http://127.0.0.1:4318/v1/traces',
    headers: {},
    timeoutMs: 10_000,
    serviceName: 'galley-edge',
    resource: {},
    sampler: { ratio: 1, followsParent: true },
  })
})

test.each([
  ['http://127.0.0.1:4318/', 'http://127.0.0.1:4318/v1/traces'],
  ['https://collector.example/otlp/', 'https://collector.example/otlp/v1/traces'],
])('%s is where all signals begin', (endpoint, url) => {
  expect(traceSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, 'edge')?.url).toBe(url)
})

test('what is said of traces alone goes before what is said of all signals', () => {
  const settings = traceSettings(
    {
      ...at,
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces.example/in',
      OTEL_EXPORTER_OTLP_HEADERS: 'Authorization=Basic%20abc%3D, x-a=1',
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'x-a=2',
      OTEL_EXPORTER_OTLP_TIMEOUT: '250',
      OTEL_SERVICE_NAME: 'mine',
      OTEL_RESOURCE_ATTRIBUTES:
        'service.name=theirs,deployment.environment.name=staging,team=%C3%A9',
      OTEL_TRACES_SAMPLER: 'traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.25',
    },
    'edge',
  )
  expect(settings).toEqual({
    url: 'https://traces.example/in',
    headers: { authorization: 'Basic abc=', 'x-a': '2' },
    timeoutMs: 250,
    serviceName: 'mine',
    resource: {
      'service.name': 'theirs',
      'deployment.environment.name': 'staging',
      team: 'é',
    },
    sampler: { ratio: 0.25, followsParent: false },
  })
})

test.each([
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: '127.0.0.1:4318' }, /ENDPOINT is "127.*must be a URL/],
  [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'grpc://a' }, /TRACES_ENDPOINT is "grpc:\/\/a"/],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://me:hush@a' }, /has a user or a password/],
  [{ ...at, OTEL_EXPORTER_OTLP_HEADERS: 'a=1,hush' }, /HEADERS has an entry 2 that is not name=/],
  [{ ...at, OTEL_EXPORTER_OTLP_HEADERS: 'a=%0ahush' }, /HEADERS has an entry 1/],
  [{ ...at, OTEL_EXPORTER_OTLP_TRACES_HEADERS: '=hush' }, /TRACES_HEADERS has an entry 1/],
  [{ OTEL_TRACES_SAMPLER: 'jaeger_remote' }, /SAMPLER is "jaeger_remote"; it must be always_on/],
  [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '5%' }, /ARG is "5%".*0 to 1/],
  [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '1.1' }, /ARG is "1.1"/],
  [{ ...at, OTEL_EXPORTER_OTLP_TIMEOUT: '0' }, /TIMEOUT is "0".*1 to 60000/],
  [{ ...at, OTEL_RESOURCE_ATTRIBUTES: 'team' }, /ATTRIBUTES has an entry 1 that is not name=/],
  [{ ...at, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /PROTOCOL is "grpc".*http\/json/],
])('%j is refused by name, and no secret is repeated', (variables, message) => {
  const read = () => traceSettings(variables, 'edge')
  expect(read).toThrow(message)
  expect(read).not.toThrow(/hush/)
})
