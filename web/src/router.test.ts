// @vitest-environment happy-dom
import { expect, test } from 'vitest'

import { nextPath } from './router'

test('after signing in, only a path of this console is followed', () => {
  expect(nextPath('/environments/1?x=2')).toBe('/environments/1?x=2')
  for (const foreign of ['https://evil.example', '//evil.example', '/\\evil.example', 'javascript:alert(1)', undefined, ['/a'], '']) {
    expect(nextPath(foreign)).toBe('/')
  }
})
