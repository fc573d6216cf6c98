/**
 * Loans of Lending Club, real and imbalanced: which go bad? The same flow as for payments, without
 * velocity, because the table has no times. Where it comes from stands in the README above.
 */
import { readFileSync } from 'node:fs'
import type { Contract } from '#sdk/client.ts'
import type { CloudEvent } from '../events.ts'

type Input<Name extends keyof Contract> = Contract[Name]['input'] extends { body: infer Body }
  ? Body
  : never

export type Loan = { id: string; isBad: boolean; data: CloudEvent['data'] }

export const LOANS = new URL('./lending-club.csv', import.meta.url)
/** One in so many is held out, another is for choosing thresholds; the rest is learned from. */
export const FOLDS = 5
export const SOURCE = '/examples/fraud/loans'

const text = { type: 'string', length_max: 64 } as const
const whole = { type: 'int', min: 0 } as const
const float = { type: 'float' } as const
const money = { type: 'decimal', scale: 2, min: 0 } as const

/** Columns that are taken as they are. */
const WHOLE = [
  'delinq_2yrs',
  'inq_last_6mths',
  'acc_now_delinq',
  'open_il_6m',
  'open_il_12m',
  'open_il_24m',
  'total_bal_il',
  'all_util',
  'inq_fi',
  'inq_last_12m',
  'delinq_amnt',
  'num_il_tl',
  'total_il_high_credit_limit',
] as const
/** Spread over orders of magnitude. */
const WIDE = ['total_bal_il', 'total_il_high_credit_limit', 'delinq_amnt'] as const
const VERIFIED = { Not_Verified: 0, Source_Verified: 1, Verified: 2 } as const

const FIELDS: Input<'event_types.declare'>['fields'] = {
  amount: money,
  months: whole,
  rate: float,
  grade: whole,
  verified: whole,
  income: money,
  years_employed: { ...whole, optional: true },
  revol_util: float,
  ...Object.fromEntries(WHOLE.map(name => [name, whole])),
}

export const EVENT_TYPES: Record<string, Input<'event_types.declare'>> = {
  application: { fields: { loan_id: text, ...FIELDS }, entities: { loan: 'loan_id' } },
  offer: { fields: { loan_id: text }, entities: { loan: 'loan_id' } },
}

export const VIEWS: Record<string, Input<'views.apply'>> = {
  application: {
    entity: 'loan',
    event_type: 'application',
    features: Object.fromEntries(
      Object.keys(FIELDS).map(name => [name, { agg: 'last' as const, of: name }]),
    ),
  },
}

const logOf = (name: string) => `log(coalesce(application.${name}, 0) + 1)`
const TRANSFORMS = {
  ...Object.fromEntries(WIDE.map(name => [`${name}_log`, logOf(name)])),
  amount_log: logOf('amount'),
  income_log: logOf('income'),
  of_income: 'application.amount / (coalesce(application.income, 0) + 1000)',
  is_long: 'if(application.months > 36, 1, 0)',
  is_employed: 'if(application.years_employed is null, 0, 1)',
}

export const SERVICE: Input<'services.apply'> = {
  features: ['application:*'],
  transforms: TRANSFORMS,
}

const AS_THEY_ARE = ['rate', 'grade', 'verified', 'years_employed', 'revol_util', ...WHOLE]
/** What the models are shown, in this order. */
export const ROW = [
  ...AS_THEY_ARE.filter(name => !(WIDE as readonly string[]).includes(name)).map(
    name => `application.${name}`,
  ),
  ...Object.keys(TRANSFORMS),
]

/** The riskiest loans are looked at by a person. */
export function endpoint({ review }: { review: number }): Input<'endpoints.apply'> {
  return {
    event_type: 'offer',
    gate: 'loan',
    service: 'loans',
    model: { name: 'loans', tensor: 'features', output: 'score', features: ROW },
    rules: [{ name: 'risky', when: `score >= ${review}`, answer: 'review' }],
    otherwise: 'approve',
  }
}

/** The table, in its order. */
export function readLoans(path: URL = LOANS): Loan[] {
  const [head, ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n')
  const names = head!.split(',')
  return lines.map((line, i) => {
    const cells = line.split(',')
    const row = Object.fromEntries(names.map((name, j) => [name, cells[j]!]))
    return { id: `l${i}`, isBad: row.Class === 'bad', data: { loan_id: `l${i}`, ...dataOf(row) } }
  })
}

export function applicationEvent({ id, data }: Loan): CloudEvent {
  return { specversion: '1.0', id: `application-${id}`, source: SOURCE, type: 'application', data }
}

function dataOf(row: Record<string, string>): CloudEvent['data'] {
  const years = yearsOf(row.emp_length!)
  return {
    amount: Number(row.funded_amnt),
    months: Number(row.term!.replace('term_', '')),
    rate: Number(row.int_rate),
    grade: gradeOf(row.sub_grade!),
    verified: VERIFIED[row.verification_status as keyof typeof VERIFIED],
    income: Number(row.annual_inc),
    revol_util: Number(row.revol_util),
    ...(years !== null && { years_employed: years }),
    ...Object.fromEntries(WHOLE.map(name => [name, Number(row[name])])),
  }
}

/** A1 is 1, G5 is 35. */
function gradeOf(text: string): number {
  return (text.charCodeAt(0) - 'A'.charCodeAt(0)) * 5 + Number(text[1])
}

/** Less than one is 0, ten or more is 10; null: it is not known. */
function yearsOf(text: string): number | null {
  if (text === 'emp_unk') return null
  if (text === 'emp_lt_1') return 0
  return Number(text.replace('emp_', '').replace('ge_', ''))
}
