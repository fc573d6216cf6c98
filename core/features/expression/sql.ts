/**
 * A filter as a condition of DuckDB's SQL, with the evaluator's result on every row. What is taken is
 * what both do exactly: comparisons, `in`, `is null` and logic over fields and literals.
 */
import { sqlText } from '#core/sql-text.ts'
import { type Expression, isExact, type Literal, wrong } from './tree.ts'

/** `columnOf` gives the SQL of a field: BIGINT for int, decimal (unscaled) and time, DOUBLE, VARCHAR, BOOLEAN. */
export function filterSql(
  expression: Expression,
  text: string,
  columnOf: (field: string) => string,
): string {
  const sql = (e: Expression): string => {
    switch (e.kind) {
      case 'literal':
        return e.of.type === 'bool' ? String(e.value) : refused(e)
      case 'name':
        return e.of.type === 'bool' ? columnOf(e.name) : refused(e)
      case 'not':
        return `(not ${sql(e.operand)})`
      case 'and':
      case 'or':
        return `(${sql(e.left)} ${e.kind} ${sql(e.right)})`
      case 'isNull':
        return `(${operand(e.operand)} is ${e.negated ? 'not ' : ''}null)`
      case 'compare':
        return comparison(e.left, e.op, e.right)
      case 'in': {
        const equal = e.items.map(item => comparison(e.operand, '=', item)).join(' or ')
        return e.negated ? `(not (${equal}))` : `(${equal})`
      }
      default:
        return refused(e)
    }
  }

  function comparison(left: Expression, op: string, right: Expression): string {
    const exact = isExact(left.of) && isExact(right.of)
    const isNumeric = left.of.type === 'float' || right.of.type === 'float' || exact
    if (!isNumeric) return `(${operand(left)} ${op === '!=' ? '<>' : op} ${operand(right)})`
    const scale = Math.max(left.of.scale ?? 0, right.of.scale ?? 0)
    const side = (e: Expression) => (exact ? scaled(e, scale) : asDouble(e))
    return `(${side(left)} ${op === '!=' ? '<>' : op} ${side(right)})`
  }

  function scaled(e: Expression, scale: number): string {
    const by = 10n ** BigInt(scale - (e.of.scale ?? 0))
    if (e.kind === 'literal') return `${BigInt(e.value as number) * by}::hugeint`
    return by === 1n ? operand(e) : `(${operand(e)}::hugeint * ${by})`
  }

  function asDouble(e: Expression): string {
    const divisor = 10 ** (e.of.scale ?? 0)
    return divisor === 1 ? `${operand(e)}::double` : `(${operand(e)}::double / ${divisor}::double)`
  }

  function operand(e: Expression): string {
    if (e.kind === 'name') return columnOf(e.name)
    if (e.kind === 'literal') return literalSql(e)
    return refused(e)
  }

  function refused(e: Expression): never {
    throw wrong(
      text,
      e.at,
      'A filter compares fields with literals and joins the results; it does not calculate',
    )
  }

  return sql(expression)
}

function literalSql({ value, of }: Literal): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return sqlText(value)
  if (typeof value === 'boolean') return String(value)
  return of.type === 'float' ? `'${value}'::double` : `${value}::bigint`
}
