import { expect, test } from 'vitest'

import { secretIn } from './linkSecret'

test('only a whole secret is one', () => {
  const secret = `wfl1_${'a2'.repeat(26)}`
  expect(secretIn(`#${secret}`)).toBe(secret)
  for (const wrong of ['', '#', secret, `#${secret}x`, `#${secret.slice(0, -1)}`, `#x=${secret}`, '#wfl1_', `#${secret.toUpperCase()}`]) {
    expect(secretIn(wrong), wrong).toBe('')
  }
})
