/** A process that owns an embedded server: `postgres.ts <data folder>`. Prints pid and a first answer. */
import pg from 'pg'
import { startPostgres } from '#local/postgres.ts'

const dataFolder = process.argv[2]!
process.chdir(dataFolder)
const log = { info: () => {}, error: () => {} }
const { host, user, database, pid } = await startPostgres({ dataFolder, log })
const client = new pg.Client({ host, user, database })
client.on('error', () => {})
await client.connect()
const { rows } = await client.query('select current_database() as name')
process.stdout.write(`${JSON.stringify({ host, pid, database: rows[0].name })}\n`)
setInterval(() => {}, 1000)
