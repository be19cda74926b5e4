import { expect, test } from 'vitest'

import { addressOf, draftOf, emptyMapping, type Provider } from './federation'
import { baseOf, gitHubDraftOf, losesSecret, sentOfGitHub } from './github'

const provider: Provider = {
  id: 'p3',
  name: 'GitHub',
  slug: 'github',
  enabled: true,
  create_users: true,
  trusted_for_second_factor: false,
  required_group: 'corp',
  has_client_secret: true,
  users: 3,
  created_at: '2026-05-04T00:00:00Z',
  updated_at: '2026-05-04T00:00:00Z',
  mappings: [{ value: 'corp/ops', role: 'operator', scope: { kind: 'everywhere' } }],
  configuration: { kind: 'github', base: 'https://github.com', client_id: 'Iv1.8a61', allow_private: false, allow_http: false, authorities: null },
}

test('a form that nobody touched sends what the provider is', () => {
  expect(sentOfGitHub(gitHubDraftOf(provider), provider)).toEqual({
    name: 'GitHub',
    slug: 'github',
    enabled: true,
    create_users: true,
    trusted_for_second_factor: false,
    required_group: 'corp',
    client_secret: null,
    mappings: provider.mappings,
    configuration: provider.configuration,
  })
})

test('nothing is sent while something is missing', () => {
  const draft = gitHubDraftOf(provider)
  const fresh = { ...gitHubDraftOf(null), clientId: 'x', clientSecret: 'y' }
  expect(sentOfGitHub(fresh, null)?.configuration).toMatchObject({ base: 'https://github.com' })
  expect(sentOfGitHub({ ...fresh, clientSecret: '' }, null)).toBeNull()
  expect(sentOfGitHub({ ...draft, clientId: ' ' }, provider)).toBeNull()
  expect(sentOfGitHub({ ...draft, base: '/' }, provider)).toBeNull()
  expect(sentOfGitHub({ ...draft, requiredGroup: 'corp/ops/x' }, provider)).toBeNull()
  expect(sentOfGitHub({ ...draft, mappings: [emptyMapping()] }, provider)).toBeNull()
  expect(sentOfGitHub({ ...draft, mappings: [{ ...emptyMapping(), value: 'a b' }] }, provider)).toBeNull()
})

test('the secret is kept for the same address only, however it is typed', () => {
  const draft = gitHubDraftOf(provider)
  const moved = { ...draft, base: 'https://github.corp.example/' }
  expect(baseOf(' https://github.com/ ')).toBe('https://github.com')
  expect(losesSecret({ ...draft, base: 'https://github.com/' }, provider)).toBe(false)
  expect(losesSecret(moved, provider)).toBe(true)
  expect(sentOfGitHub(moved, provider)).toBeNull()
  expect(sentOfGitHub({ ...moved, clientSecret: 'new' }, provider)?.configuration).toMatchObject({ base: 'https://github.corp.example' })
  expect(losesSecret(draft, null)).toBe(false)
})

test('it is where its address says, and no form of another kind begins with it', () => {
  expect(addressOf(provider)).toBe('https://github.com')
  expect(draftOf(provider).issuer).toBe('')
  expect(gitHubDraftOf({ ...provider, configuration: { kind: 'oidc', issuer: 'https://idp.example', client_id: 'x' } }).clientId).toBe('')
})
