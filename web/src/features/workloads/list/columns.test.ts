// @vitest-environment happy-dom
import { expect, test } from 'vitest'

import { columnsOf, orderOf, parameterOf, turned } from './columns'

test('chosen columns keep their order, and those that are unknown are passed over', () => {
  expect(columnsOf('restarts,colour,state')).toEqual(['state', 'restarts'])
  expect(columnsOf('')).toEqual([])
  expect(columnsOf(null)).toEqual(['state', 'image', 'ports'])
})

test('an order goes to the hub and into the address and back', () => {
  for (const order of [{ by: 'created', down: true }, { by: 'name', down: false }, { by: 'restarts', down: false }] as const) {
    expect(orderOf(parameterOf(order))).toEqual(order)
  }
  for (const wrong of ['colour', '-colour', undefined, ['state']]) expect(orderOf(wrong)).toEqual({ by: 'name', down: false })
})

test('a heading turns its own order round and begins another from the start', () => {
  expect(turned({ by: 'name', down: false }, 'name')).toEqual({ by: 'name', down: true })
  expect(turned({ by: 'name', down: true }, 'state')).toEqual({ by: 'state', down: false })
})
