/** Secrets by name, read once as a function starts: no deployment and no environment has their values. */
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'

/** The value of each. Throws an error that names the secret and says what would be right. */
export async function readSecrets<N extends string>(
  arns: Record<N, string>,
): Promise<Record<N, string>> {
  const client = new SecretsManagerClient({})
  const read = Object.entries<string>(arns).map(async ([name, arn]) => {
    const { SecretString } = await client
      .send(new GetSecretValueCommand({ SecretId: arn }))
      .catch(cause => {
        throw new Error(`The secret ${arn} cannot be read: ${reasonOf(cause)}`, { cause })
      })
    if (!SecretString) throw new Error(`The secret ${arn} has no text: ${PUT_IT}`)
    return [name, SecretString] as const
  })
  const values = Object.fromEntries(await Promise.all(read))
  client.destroy()
  return values as Record<N, string>
}

const PUT_IT = 'put one in with "aws secretsmanager put-secret-value".'

function reasonOf(cause: unknown): string {
  const { name, message } = cause as Error
  if (name === 'ResourceNotFoundException') return `it has no value yet; ${PUT_IT}`
  if (name === 'AccessDeniedException') return `the role of this function may not (${message})`
  return `${name} ${message}`
}
