// @vitest-environment happy-dom
import { describe, expect, test } from 'vitest'

import { exportUrl, filterOf, queryOf, wantedOf } from './filter'

describe('which records are shown', () => {
  test('a filter is read from the address, and what is none is passed over', () => {
    const filter = filterOf({ q: 'web', area: 'user', outcome: 'denied', from: '2026-05-04', until: 'tomorrow' })
    expect(filter).toEqual({ q: 'web', actor: '', area: 'user', outcome: 'denied', environment: '', from: '2026-05-04', until: '' })
    expect(filterOf({ area: 'colour', outcome: ['done', 'denied'], environment: null })).toEqual(filterOf({}))
  })

  test('what stands in the address is read as it was', () => {
    const filter = filterOf({ q: 'a b', actor: 'ada', area: 'api_token', environment: 'e1', from: '2026-05-04', until: '2026-05-05' })
    expect(filterOf(queryOf(filter))).toEqual(filter)
    expect(queryOf(filterOf({}))).toEqual({})
  })

  test('the last day is asked for to its end', () => {
    const wanted = wantedOf(filterOf({ q: '  ', actor: ' ada ', area: 'user', from: '2026-05-04', until: '2026-05-04' }))
    expect(wanted).toEqual({ actor: 'ada', action: 'user.', from: new Date(2026, 4, 4).toISOString(), until: new Date(2026, 4, 5).toISOString() })
    expect(wantedOf(filterOf({}))).toEqual({})
  })

  test('an export has the same filter', () => {
    expect(exportUrl('csv', { q: 'a&b=c', outcome: 'failed' })).toBe('/api/v1/audit/export?format=csv&q=a%26b%3Dc&outcome=failed')
    expect(exportUrl('json', {})).toBe('/api/v1/audit/export?format=json')
  })
})
