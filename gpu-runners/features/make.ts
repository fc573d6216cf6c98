/**
 * A training set from a spine: each row with the values that a read at its time would have had. The log is
 * cut by entity into parts that fit into memory, so that what it takes does not grow with the log.
 */
import { outputsOf } from '#core/features/compile.ts'
import type { ViewPlan } from '#schemas/feature.ts'
import { askPart, questionsOf, storeAnswers, type Wanted } from './answers.ts'
import { type Column, written } from './columns.ts'
import { type Database, quoted } from './database.ts'
import { cutLog, openPart } from './log.ts'
import { type Made, type Progress, RESULT, type TrainingSet, WrongSpine } from './messages.ts'
import { readSpine } from './spine.ts'
import { transformRows } from './transforms.ts'

const GROUP_ROWS = 122_880

/** A table of values by the number of the row, with what of it is written under which name. */
type Table = { name: string; outputs: { name: string; sql: string }[] }

export async function makeTrainingSet(
  database: Database,
  set: TrainingSet,
  report: (progress: Progress) => void,
): Promise<Omit<Made, 'spentUs'>> {
  const spine = await readSpine(database, set)
  const { rows: rowsTotal } = spine
  report({ rowsTotal, rowsDone: 0 })
  const columns = columnsOf(set)
  checkNames(columns, spine.columns)
  const tables: Table[] = []
  let parts = 0
  const groups = together(set.service.views)
  for (const [i, views] of groups.entries()) {
    const { entity, eventType } = views[0]!
    const wanted = wantedOf(set, columns, views)
    const questions = questionsOf(wanted)
    const cut = await cutLog(database, {
      entity: Object.keys(set.entities).indexOf(entity),
      name: entity,
      log: set.logs[eventType]!,
      views: questions.map(({ plan }) => plan),
      folder: `log${i}`,
    })
    const table = `values${i}`
    // One part is finished while the next is asked.
    let storing = Promise.resolve()
    for (let part = 0; part < cut.parts; part++) {
      const asking = openPart(database, cut, part).then(() =>
        askPart(database, questions, set.knowledge),
      )
      const [asked] = await Promise.all([asking, storing])
      storing = storeAnswers(database, asked, table)
      storing.catch(() => {})
      const done = (i + (part + 1) / cut.parts) / groups.length
      report({ rowsTotal, rowsDone: Math.floor(rowsTotal * done) })
    }
    await storing
    parts += cut.parts
    tables.push({
      name: table,
      outputs: wanted.flatMap(({ column, status }) => outputs(column, status)),
    })
  }
  if (set.service.transforms.length > 0) {
    tables.push(await transformed(database, set, columns, tables, spine.rows))
  }
  const names = await write(database, set, columns, tables, spine.columns)
  return { rows: spine.rows, columns: names, parts }
}

/** Of each output, in the order of a read. */
function columnsOf({ service }: TrainingSet): Column[] {
  return outputsOf(service).map(({ name, type }) => {
    const [viewName, featureName] = name.split(':')
    const view = service.views.find(({ view }) => view === viewName)
    const feature = featureName && view?.features.find(each => each.name === featureName)
    const isWhole = type.type === 'int' || type.type === 'decimal'
    const isSum = feature ? feature.aggregate === 'sum' && isWhole : false
    return { name: name.replace(':', '__'), type, isSum }
  })
}

function checkNames(columns: readonly Column[], given: readonly string[]): void {
  // Readers of Parquet rarely tell case apart.
  const known = new Set(given.map(name => name.toLowerCase()))
  const twice = columns.filter(({ name }) => known.has(name.toLowerCase()))
  if (twice.length === 0) return
  const names = twice.map(({ name }) => name).join(', ')
  throw new WrongSpine(
    `The spine has the column ${names} already, which the service gives: rename it.`,
  )
}

/** Views over the same events. */
function together(views: readonly ViewPlan[]): ViewPlan[][] {
  return [...Map.groupBy(views, ({ entity, eventType }) => `${entity} ${eventType}`).values()]
}

function wantedOf(set: TrainingSet, columns: readonly Column[], views: ViewPlan[]): Wanted[] {
  return set.service.features.flatMap((name, i): Wanted[] => {
    const [viewName, featureName] = name.split(':')
    const view = views.find(each => each.view === viewName)
    if (!view) return []
    const feature = view.features.find(each => each.name === featureName)!
    return [{ view, feature, column: columns[i]!, status: statusOf(set, columns[i]!) }]
  })
}

function statusOf({ statuses }: TrainingSet, { name }: Column): string | null {
  return statuses ? `${name}__status` : null
}

function outputs(column: Column, status: string | null): Table['outputs'] {
  const value = { name: column.name, sql: written(column, quoted(column.name)) }
  return status === null ? [value] : [value, { name: status, sql: quoted(status) }]
}

async function transformed(
  database: Database,
  set: TrainingSet,
  columns: readonly Column[],
  tables: readonly Table[],
  rows: number,
): Promise<Table> {
  const { service: plan } = set
  const own = columns.slice(plan.features.length)
  const statuses = own.map(column => statusOf(set, column))
  await transformRows(database, {
    plan,
    rows,
    from: `(select * from ${joined(tables)})`,
    features: columns.slice(0, plan.features.length).map(({ name }) => name),
    table: 'transformed',
    columns: own,
    statuses,
  })
  return {
    name: 'transformed',
    outputs: own.flatMap((column, i) => outputs(column, statuses[i]!)),
  }
}

function joined(tables: readonly Table[]): string {
  const [first, ...others] = tables.map(({ name }) => name)
  return `${first} ${others.map(name => `join ${name} using (number)`).join(' ')}`
}

/** The spine as it was given, with the values beside it, in its order. */
async function write(
  database: Database,
  set: TrainingSet,
  columns: readonly Column[],
  tables: readonly Table[],
  given: readonly string[],
): Promise<string[]> {
  const sqlOf = new Map(
    tables.flatMap(({ outputs }) => outputs.map(({ name, sql }) => [name, sql])),
  )
  const names = columns.flatMap(column => [column.name, statusOf(set, column) ?? []].flat())
  const selected = [
    ...given.map(name => `spine.${quoted(name)}`),
    ...names.map(name => `${sqlOf.get(name)} as ${quoted(name)}`),
  ]
  await database.run(`copy (
    select ${selected.join(', ')} from spine join (select * from ${joined(tables)}) as v
    on v.number = spine."_row" order by spine."_row")
    to '${RESULT}' (format parquet, compression zstd, row_group_size ${GROUP_ROWS})`)
  return [...given, ...names]
}
