import { expect, test } from 'vitest'

import { proofOf, sorted, wayBack, type Way } from './ways'

const corp: Way = { kind: 'provider', slug: 'corp', name: 'Corp' }
const directory: Way = { kind: 'directory', name: 'Office' }
const password: Way = { kind: 'password' }
const typed = { name: ' ada ', password: ' p ', code: ' 123456 ' }

test('what is typed comes before what leads elsewhere', () => {
  expect(sorted([corp, directory])).toEqual([directory, corp])
  expect(sorted([corp, { kind: 'passkey' }, password])).toEqual([password, { kind: 'passkey' }, corp])
  expect(sorted([])).toEqual([])
})

test('a proof is what the way takes and nothing else', () => {
  expect(proofOf(password, typed)).toEqual({ kind: 'password', password: ' p ', code: '123456' })
  expect(proofOf(directory, { ...typed, code: ' ' })).toEqual({ kind: 'directory', name: 'ada', password: ' p ', code: null })
  expect(proofOf(corp, typed)).toBeNull()
})

test('one comes back to the page, without what makes its address too long', () => {
  expect(wayBack('/users?search=a#b')).toBe('/users?search=a#b')
  expect(wayBack(`/users?search=${'a'.repeat(600)}`)).toBe('/users')
})
