import { expect, test } from 'vitest'

import type { ApiToken } from '@/api/types'

import { isLimited, limitsOf, networksFrom, type Chosen } from './limits'

const ALL: Chosen = { reach: 'everything', place: 'everywhere', group: '', environments: [], networks: '' }

test('a token without limits asks for none', () => {
  expect(limitsOf(ALL)).toEqual({})
})

test('what is chosen is asked for, and nothing while a part of it is missing', () => {
  expect(limitsOf({ ...ALL, reach: 'look' })).toEqual({ scopes: ['read'] })
  expect(limitsOf({ ...ALL, reach: 'deploy' })).toEqual({ scopes: ['read', 'operate', 'deploy'] })
  expect(limitsOf({ ...ALL, place: 'environments', environments: ['a', 'b'] })).toEqual({ environments: ['a', 'b'] })
  expect(limitsOf({ ...ALL, place: 'group', group: 'g', environments: ['a'] })).toEqual({ groups: ['g'] })
  expect(limitsOf({ ...ALL, place: 'environments' })).toBeNull()
  expect(limitsOf({ ...ALL, place: 'group' })).toBeNull()
  expect(limitsOf({ ...ALL, networks: 'home' })).toBeNull()
})

test('addresses are the smallest networks', () => {
  expect(networksFrom(' 10.0.0.0/8, 192.0.2.7\n2001:db8::/32 ::1')).toEqual(['10.0.0.0/8', '192.0.2.7/32', '2001:db8::/32', '::1/128'])
  expect(networksFrom('')).toEqual([])
  for (const wrong of ['home', '10.0.0.0/', '10.0.0.0/1234', 'fe80', '10.0.0.0/8;::1']) expect(networksFrom(wrong)).toBeNull()
})

test('a token is limited where anything of it is', () => {
  const none = { scopes: ['admin'], environments: [], groups: [], networks: [] } as unknown as ApiToken
  expect(isLimited(none)).toBe(false)
  expect(isLimited({ ...none, scopes: ['read'] })).toBe(true)
  expect(isLimited({ ...none, networks: ['10.0.0.0/8'] })).toBe(true)
})
