// @vitest-environment happy-dom
import { expect, test } from 'vitest'

import { leavesOf, variableOf } from './details'

test('a variable is parted at its first equals sign', () => {
  expect(variableOf('A=b=c')).toEqual({ name: 'A', value: 'b=c' })
  expect(variableOf('A')).toEqual({ name: 'A', value: '' })
})

test('each value of a document is found by its path', () => {
  const document = { Id: 'x', Config: { Env: ['A=1', 'B=2'], Labels: {}, Tty: false, Cmd: null } }
  expect(leavesOf(document)).toEqual([
    { path: 'Id', value: 'x' },
    { path: 'Config.Env[0]', value: 'A=1' },
    { path: 'Config.Env[1]', value: 'B=2' },
    { path: 'Config.Labels', value: '{}' },
    { path: 'Config.Tty', value: 'false' },
    { path: 'Config.Cmd', value: 'null' },
  ])
})
