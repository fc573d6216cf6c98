/** Secrets by name, read once as a function starts: no deployment and no environment has their values. */
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import * as z from 'zod'

/**
 * The value of each; of one that the environment does not name there is none. Throws an error that names the
 * secret and says what would be right.
 */
export async function readSecrets<A extends Record<string, string | undefined>>(
  arns: A,
): Promise<A> {
  const client = new SecretsManagerClient({})
  const read = Object.entries(arns).map(async ([name, arn]) => {
    if (arn === undefined) return [name, arn] as const
    const { SecretString } = await client
      .send(new GetSecretValueCommand({ SecretId: arn }))
      .catch(cause => {
        throw new Error(`The secret ${arn} cannot be read: ${reasonOf(cause)}`, { cause })
      })
    // A file that it came from may have ended its line.
    const value = SecretString?.trim()
    if (!value) throw new Error(`The secret ${arn} has no text: ${PUT_IT}`)
    return [name, value] as const
  })
  const values = Object.fromEntries(await Promise.all(read))
  client.destroy()
  return values as A
}

/** As RDS writes the secret of a database's owner. */
const ownerSchema = z.object({ username: z.string(), password: z.string() })

/** Throws without a word of what the secret says: the parser's own error would quote it. */
export function ownerIn(secret: string): { user: string; password: string } {
  const { success, data } = ownerSchema.safeParse(jsonOf(secret))
  if (success) return { user: data.username, password: data.password }
  throw new Error(
    "GALLEY_OWNER_SECRET_ARN names a secret that is not what RDS writes for a database's owner: JSON with a username and a password.",
  )
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const PUT_IT = 'put one in with "aws secretsmanager put-secret-value".'

function reasonOf(cause: unknown): string {
  const { name, message } = cause as Error
  if (name === 'ResourceNotFoundException') return `it has no value yet; ${PUT_IT}`
  if (name === 'AccessDeniedException') return `the role of this function may not (${message})`
  return `${name} ${message}`
}
