// @vitest-environment happy-dom
import { expect, test } from 'vitest'

import { noted, outcomeOf, targetOf } from './audit'

test('what is noted of the log is its newest record', () => {
  expect(noted({ last_seq: 12, head_hash: 'ab' })).toBe('12:ab')
  expect(noted({ last_seq: 0, head_hash: '' })).toBe('')
})

test('a target is told by its name where it has one', () => {
  expect(targetOf({ target_id: 'c1', details: { target_name: 'web' } })).toBe('web')
  expect(targetOf({ target_id: 'c1', details: { target_name: 7 } })).toBe('c1')
  expect(targetOf({ target_id: null, details: {} })).toBe('')
})

test('an outcome of another hub has no words', () => {
  expect(outcomeOf({ outcome: 'denied' })).toBe('denied')
  expect(outcomeOf({ outcome: 'toString' })).toBeNull()
})
