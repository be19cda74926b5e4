// @vitest-environment happy-dom
import { expect, test } from 'vitest'

import { filterOf, wantedOf } from './filter'

test('a filter is read from the address, and what is none is passed over', () => {
  expect(filterOf({ environment: 'e1', user: 'ada' })).toEqual({ environment: 'e1', user: 'ada', container: '' })
  expect(filterOf({ environment: ['e1', 'e2'], container: null, colour: 'red' })).toEqual({ environment: '', user: '', container: '' })
})

test('only what is filtered by is asked for, and stands in the address', () => {
  expect(wantedOf({ environment: 'e1', user: ' ada ', container: '  ' })).toEqual({ environment: 'e1', user: 'ada' })
  expect(wantedOf({ environment: '', user: '', container: 'web' })).toEqual({ container: 'web' })
  expect(wantedOf(filterOf({}))).toEqual({})
})
