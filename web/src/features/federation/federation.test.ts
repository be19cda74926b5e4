import { expect, test } from 'vitest'

import { callbackOf, draftOf, emptyMapping, failureNamed, logoutOf, sentOf, startOf, type Provider } from './federation'

const provider: Provider = {
  id: 'p1',
  name: 'Corp',
  slug: 'corp',
  enabled: true,
  create_users: true,
  trusted_for_second_factor: false,
  required_group: 'staff',
  has_client_secret: true,
  users: 3,
  created_at: '2026-05-04T00:00:00Z',
  updated_at: '2026-05-04T00:00:00Z',
  mappings: [
    { value: 'ops', role: 'operator', scope: { kind: 'everywhere' } },
    { value: 'dev', role: 'viewer', scope: { kind: 'label', label: 'site=fra' } },
  ],
  configuration: { kind: 'oidc', issuer: 'https://idp.example', client_id: 'windflow', scopes: ['profile'], groups_claim: 'groups', allow_private: true, allow_http: false, authorities: null },
}

test('a form that nobody touched sends what the provider is', () => {
  const sent = sentOf(draftOf(provider))
  expect(sent).toEqual({
    name: 'Corp',
    slug: 'corp',
    enabled: true,
    create_users: true,
    trusted_for_second_factor: false,
    required_group: 'staff',
    client_secret: null,
    mappings: provider.mappings,
    configuration: provider.configuration,
  })
})

test('nothing is sent while something is missing', () => {
  const draft = draftOf(provider)
  expect(sentOf(draftOf(null))).toBeNull()
  expect(sentOf({ ...draft, issuer: ' ' })).toBeNull()
  expect(sentOf({ ...draft, groupsClaim: '' })).toBeNull()
  expect(sentOf({ ...draft, mappings: [emptyMapping()] })).toBeNull()
  expect(sentOf({ ...draft, mappings: [{ ...emptyMapping(), value: 'ops', kind: 'group' }] })).toBeNull()
  expect(sentOf({ ...draft, groupsClaim: '', requiredGroup: '', mappings: [] })).not.toBeNull()
})

test('addresses are written for one provider, and lead back', () => {
  expect(callbackOf('corp', 'https://hub.example')).toBe('https://hub.example/api/v1/auth/oidc/corp/callback')
  expect(logoutOf('corp', 'https://hub.example')).toBe('https://hub.example/api/v1/auth/oidc/corp/backchannel-logout')
  expect(startOf('corp', '/a?b=c&d')).toBe('/api/v1/auth/oidc/corp/start?next=%2Fa%3Fb%3Dc%26d')
})

test('only known reasons have words', () => {
  expect(failureNamed('group')).toBe('group')
  expect(failureNamed('toString')).toBeNull()
  expect(failureNamed(['group'])).toBeNull()
})
