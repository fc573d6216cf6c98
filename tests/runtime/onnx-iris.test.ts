/** The first model: its data, its weights and its file belong together. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { accuracy, fitSoftmax, readIris, toOnnx } from '../../examples/iris/fit.ts'

const data = readIris()

test('the data are Fisher’s: the published mean of each measurement and species', () => {
  const means = data.species.map((_, label) => {
    const rows = data.rows.filter((_, i) => data.labels[i] === label)
    expect(rows.length).toBe(50)
    return [0, 1, 2, 3].map(j => (rows.reduce((sum, row) => sum + row[j]!, 0) / 50).toFixed(3))
  })
  expect(data.species).toEqual(['setosa', 'versicolor', 'virginica'])
  expect(means).toEqual([
    ['5.006', '3.428', '1.462', '0.246'],
    ['5.936', '2.770', '4.260', '1.326'],
    ['6.588', '2.974', '5.552', '2.026'],
  ])
})

test('fitting again gives the committed bytes, and they are right for 97 flowers in 100', () => {
  const weights = fitSoftmax(data)
  expect(accuracy(data, weights)).toBeGreaterThanOrEqual(0.97)
  const committed = Uint8Array.from(readFileSync('examples/iris/iris.onnx'))
  expect(toOnnx(weights, data.species)).toEqual(committed)
})
