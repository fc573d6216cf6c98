/** PostgreSQL in its production form: TLS, a bounded pool, time-outs, retries, and a server that is lost and comes back. */
import { execFileSync } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Tx } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { type OpenDatabase, openDatabase } from '#platform/db/postgres.ts'
import { newId } from '#schemas/ids.ts'
import { type CloudDatabase, startDatabase, strangerIn } from './database.ts'

const log = { info() {}, error() {} }
const tenant = newId('tenant')
let server: CloudDatabase
let db: OpenDatabase
let admin: pg.Pool

beforeAll(async () => {
  server = await startDatabase()
  db = openDatabase({ url: server.url, log })
  admin = new pg.Pool({ ...server.admin, max: 3 })
  admin.on('error', () => {})
  admin.on('connect', client => client.on('error', () => {}))
  await admin.query('create table probe (id text primary key, n int not null default 0)')
  await admin.query('grant all on probe to galley_app')
})
afterAll(async () => {
  await db.close()
  await admin.end()
  await server.stop()
})
beforeEach(async () => {
  await admin.query('truncate probe')
})

async function ids(): Promise<string[]> {
  const { rows } = await admin.query<{ id: string }>('select id from probe order by id')
  return rows.map(row => row.id)
}

describe('over TLS', () => {
  async function toldBy(change: (url: URL) => void): Promise<Error> {
    const url = new URL(server.url)
    change(url)
    const other = openDatabase({ url: url.href, log })
    const told = await other.tenant(tenant, tx => tx.execute(sql`select 1`)).catch(error => error)
    await other.close()
    return told
  }

  test('the server is known by its certificate, and nothing travels in the open', async () => {
    const found = await db.tenant(tenant, tx =>
      tx.execute(sql`select ssl, version from pg_stat_ssl where pid = pg_backend_pid()`),
    )
    expect(found.rows).toEqual([{ ssl: true, version: 'TLSv1.3' }])
  })

  test('a server that no trusted CA vouches for is not told the password', async () => {
    const stranger = strangerIn(server.folder)
    for (const change of [
      (url: URL) => url.searchParams.set('sslrootcert', stranger),
      (url: URL) => url.searchParams.delete('sslrootcert'),
      // The same server by a name that its certificate does not have.
      (url: URL) => {
        url.hostname = '127.0.0.1'
      },
    ]) {
      const told = await toldBy(change)
      expect(told).toMatchObject({ code: 'internal' })
      expect(told.message).toContain('sslrootcert=<file>')
    }
  })

  test('a client that does not want TLS is refused by the server, and says what it must do', async () => {
    const told = await toldBy(url => {
      url.searchParams.delete('sslrootcert')
      url.searchParams.set('sslmode', 'disable')
    })
    expect(told.message).toContain('must be reached over TLS')
  })
})

describe('bounds', () => {
  test('work beyond the pool waits its turn, and the server sees no more connections than that', async () => {
    const bounded = openDatabase({ url: server.url, log, connectionsMax: 3 })
    const count = sql`select count(*)::int as n from pg_stat_activity where usename = 'galley_app'
      and backend_type = 'client backend'`
    const before = await db.tenant(tenant, tx => tx.execute(count))
    const seen = await Promise.all(
      Array.from({ length: 12 }, () =>
        bounded.tenant(tenant, async tx => {
          await tx.execute(sql`select pg_sleep(0.02)`)
          return (await tx.execute(count)).rows[0]!.n as number
        }),
      ),
    )
    await bounded.close()
    const most = Math.max(...seen) - (before.rows[0]!.n as number)
    expect(most).toBeLessThanOrEqual(3)
  })

  test('a statement and an idle transaction end by the server itself', async () => {
    const { rows } = await db.tenant(tenant, tx =>
      tx.execute(sql`select current_setting('statement_timeout') as statement,
        current_setting('idle_in_transaction_session_timeout') as idle`),
    )
    expect(rows).toEqual([{ statement: '30s', idle: '1min' }])
  })

  test('a statement that takes too long is told as such, and its connection serves the next', async () => {
    const slow = db.tenant(tenant, async tx => {
      await tx.execute(sql`set local statement_timeout = 50`)
      await tx.execute(sql`select pg_sleep(30)`)
    })
    await expect(slow).rejects.toMatchObject({ code: 'deadline_exceeded', retryable: true })
    expect((await db.tenant(tenant, tx => tx.execute(sql`select 1 as one`))).rows).toHaveLength(1)
  })
})

describe('runs again', () => {
  test('both of two that block each other, and both are stored', async () => {
    await admin.query(`insert into probe (id) values ('a'), ('b')`)
    let met = 0
    const add = (first: string, second: string) =>
      db.tenant(tenant, async tx => {
        await tx.execute(sql`update probe set n = n + 1 where id = ${first}`)
        met++
        for (let i = 0; met < 2 && i < 500; i++) await pause(10)
        await tx.execute(sql`update probe set n = n + 1 where id = ${second}`)
      })
    await Promise.all([add('a', 'b'), add('b', 'a')])
    expect((await admin.query('select id, n from probe order by id')).rows).toEqual([
      { id: 'a', n: 2 },
      { id: 'b', n: 2 },
    ])
  })

  test('what the server could not put in an order, until it can', async () => {
    let runs = 0
    await db.tenant(tenant, async tx => {
      await tx.execute(sql`insert into probe (id) values (${`run ${++runs}`})`)
      if (runs > 3) return
      const refused = "do $$ begin raise exception 'no order' using errcode = '40001'; end $$"
      await tx.execute(sql.raw(refused))
    })
    expect(await ids()).toEqual(['run 4'])
  })

  test('what lost its connection before it was to be stored', async () => {
    let runs = 0
    await db.tenant(tenant, async tx => {
      await tx.execute(sql`insert into probe (id) values (${`run ${++runs}`})`)
      if (runs === 1) await endSession(tx)
      await tx.execute(sql`select 1`)
    })
    expect(await ids()).toEqual(['run 2'])
  })

  test('nothing whose commit was asked for: whether it was stored, nobody knows', async () => {
    let runs = 0
    const asked = db.tenant(tenant, async tx => {
      await tx.execute(sql`insert into probe (id) values (${`run ${++runs}`})`)
      await endSession(tx)
    })
    await expect(asked).rejects.toMatchObject({ code: 'unavailable', retryable: true })
    expect(runs).toBe(1)
  })

  test('nothing because another place is away: the work says so once, and its connection serves the next', async () => {
    const single = openDatabase({ url: server.url, log, connectionsMax: 1 })
    const pidOf = async (tx: Tx) =>
      (await tx.execute(sql`select pg_backend_pid() as pid`)).rows[0]!.pid as number
    const pids: number[] = []
    const asked = single.tenant(tenant, async tx => {
      pids.push(await pidOf(tx))
      throw new AppError('unavailable', { public: 'The queue is away.', retryable: true })
    })
    await expect(asked).rejects.toMatchObject({ code: 'unavailable', public: 'The queue is away.' })
    expect(pids).toEqual([await single.tenant(tenant, pidOf)])
    await single.close()
  })

  async function endSession(tx: Tx): Promise<void> {
    const { rows } = await tx.execute(sql`select pg_backend_pid() as pid`)
    await admin.query('select pg_terminate_backend($1, 5000)', [rows[0]!.pid])
  }
})

describe('a server that is killed and comes back', () => {
  test('has what was acknowledged, once, and has lost no connection of the pool', async () => {
    const acknowledged: string[] = []
    const stop = new AbortController()
    const writers = Array.from({ length: 12 }, (_, w) => writeUntil(w, acknowledged, stop.signal))
    for (let round = 0; round < 3; round++) {
      const enough = acknowledged.length + 30
      while (acknowledged.length < enough) await pause(10)
      await server.kill()
      await server.start()
    }
    const enough = acknowledged.length + 30
    while (acknowledged.length < enough) await pause(10)
    stop.abort()
    await Promise.all(writers)
    const stored = new Set(await ids())
    expect(acknowledged.filter(id => !stored.has(id))).toEqual([])
    // Each of the pool's ten at once: one that was kept for ever would be waited for.
    let held = 0
    const all = Array.from({ length: 10 }, () =>
      db.tenant(tenant, async tx => {
        await tx.execute(sql`select 1`)
        held++
        for (let i = 0; held < 10 && i < 500; i++) await pause(10)
        return held
      }),
    )
    expect(await Promise.all(all)).toEqual(Array(10).fill(10))
  })

  test('is waited for by who asks meanwhile, and told as away by who asks too early', async () => {
    await server.kill()
    const early = db.tenant(tenant, tx => tx.execute(sql`select 1`))
    await expect(early).rejects.toMatchObject({ code: 'unavailable', retryable: true })
    const asked = db.tenant(tenant, tx => tx.execute(sql`insert into probe (id) values ('late')`))
    asked.catch(() => {})
    await server.start()
    await db.tenant(tenant, tx => tx.execute(sql`select 1`))
  })
})

async function writeUntil(writer: number, acknowledged: string[], stop: AbortSignal) {
  for (let n = 0; !stop.aborted; n++) {
    const id = `${writer}-${n}`
    try {
      await db.tenant(tenant, tx => tx.execute(sql`insert into probe (id) values (${id})`))
      acknowledged.push(id)
    } catch (error) {
      expect(error).toMatchObject({ code: 'unavailable', retryable: true })
    }
  }
}

test('a function that was frozen for longer than the server keeps its session goes on as if nothing were', async () => {
  const lines: string[] = []
  await admin.query(`alter role galley_app set idle_session_timeout = '500ms'`)
  const other = openDatabase({
    url: server.url,
    log: { info() {}, error: line => lines.push(line) },
  })
  try {
    const { rows } = await other.tenant(tenant, tx =>
      tx.execute<{ pid: number }>(sql`select pg_backend_pid() as pid`),
    )
    await admin.query('alter role galley_app reset idle_session_timeout')
    freezeWhileThereIs(rows[0]!.pid)
    // The connection is still thought to be open, and what the server said on it was not read yet.
    await other.tenant(tenant, tx => tx.execute(sql`insert into probe values ('thawed', 1)`))
    expect(await ids()).toContain('thawed')
    expect(lines).toEqual([])
  } finally {
    await other.close()
  }
})

/** This process does nothing at all until the server has no such session. */
function freezeWhileThereIs(pid: number): void {
  const asks = `
    import pg from 'pg'
    const client = new pg.Client(${JSON.stringify(server.admin)})
    await client.connect()
    const found = () => client.query('select from pg_stat_activity where pid = ${pid}')
    while ((await found()).rowCount > 0) await new Promise(go => setTimeout(go, 20))
    await client.end()`
  execFileSync(process.execPath, ['--input-type=module', '--eval', asks])
}
