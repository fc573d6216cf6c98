/**
 * Expressions in definitions: filters of views, transforms of services, conditions of rules. They are data:
 * parsed and typed once, then either evaluated here or, for filters, written as SQL with the same result
 * on every row. Logic is that of SQL, with null for unknown.
 */
export { evaluator, type Run } from './expression/evaluate.ts'
export { parseExpression, type Scope } from './expression/parse.ts'
export { filterSql } from './expression/sql.ts'
export { nameOf, namesOf } from './expression/tree.ts'
