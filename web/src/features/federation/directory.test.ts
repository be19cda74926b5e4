import { expect, test } from 'vitest'

import { directoryDraftOf, directoryStepOf, directoryTroubleOf, entriesOf, losesPassword, sentOfDirectory, serversOf } from './directory'
import { addressOf, draftOf, emptyMapping, type Provider } from './federation'

const provider: Provider = {
  id: 'p2',
  name: 'Corp',
  slug: 'corp',
  enabled: true,
  create_users: true,
  trusted_for_second_factor: false,
  required_group: 'cn=staff,dc=corp',
  has_client_secret: true,
  users: 3,
  created_at: '2026-05-04T00:00:00Z',
  updated_at: '2026-05-04T00:00:00Z',
  mappings: [{ value: 'cn=ops,dc=corp', role: 'operator', scope: { kind: 'everywhere' } }],
  configuration: {
    kind: 'ldap',
    servers: ['ldaps://a', 'ldaps://b'],
    allow_plain: false,
    allow_private: true,
    authorities: null,
    bind_dn: 'cn=hub,dc=corp',
    base_dn: 'dc=corp',
    user_filter: '(uid={name})',
    id_attribute: 'entryUUID',
    name_attribute: 'uid',
    groups: 'attribute',
    group_attribute: 'memberOf',
    group_base_dn: null,
    group_filter: '(member={dn})',
    nested_groups: 'none',
    position: 3,
  },
}

test('a form that nobody touched sends what the directory is', () => {
  expect(sentOfDirectory(directoryDraftOf(provider))).toEqual({
    name: 'Corp',
    slug: 'corp',
    enabled: true,
    create_users: true,
    trusted_for_second_factor: false,
    required_group: 'cn=staff,dc=corp',
    client_secret: null,
    mappings: provider.mappings,
    configuration: provider.configuration,
  })
})

test('nothing is sent while something is missing', () => {
  const draft = directoryDraftOf(provider)
  expect(sentOfDirectory(directoryDraftOf(null))).toBeNull()
  expect(sentOfDirectory({ ...draft, servers: ' \n' })).toBeNull()
  expect(sentOfDirectory({ ...draft, baseDn: '' })).toBeNull()
  expect(sentOfDirectory({ ...draft, position: '1.5' })).toBeNull()
  expect(sentOfDirectory({ ...draft, position: '-1' })).toBeNull()
  expect(sentOfDirectory({ ...draft, groups: 'none' })).toBeNull()
  expect(sentOfDirectory({ ...draft, mappings: [emptyMapping()] })).toBeNull()
  expect(sentOfDirectory({ ...draft, groups: 'none', requiredGroup: '', mappings: [] })).not.toBeNull()
})

test('the password is kept for the same servers only, spoken to in the same way', () => {
  const draft = directoryDraftOf(provider)
  expect(losesPassword(draft, provider)).toBe(false)
  expect(losesPassword({ ...draft, servers: 'ldaps://a,ldaps://b' }, provider)).toBe(false)
  expect(losesPassword({ ...draft, servers: 'ldaps://b ldaps://a' }, provider)).toBe(true)
  expect(losesPassword({ ...draft, allowPlain: true }, provider)).toBe(true)
  expect(losesPassword({ ...draft, allowPlain: true, password: 'new' }, provider)).toBe(false)
  expect(losesPassword(draft, null)).toBe(false)
})

test('Active Directory has other names for the same things', () => {
  expect(entriesOf('active_directory')).toMatchObject({ idAttribute: 'objectGUID', nesting: 'in_chain' })
  expect(entriesOf('usual')).toMatchObject({ idAttribute: 'entryUUID', nesting: 'walk' })
  expect(serversOf(' ldaps://a,\nldap://b ')).toEqual(['ldaps://a', 'ldap://b'])
})

test('a directory is where its servers are, and no form of another kind begins with it', () => {
  expect(addressOf(provider)).toBe('ldaps://a ldaps://b')
  expect(draftOf(provider).issuer).toBe('')
})

test('only known steps and troubles have words', () => {
  expect(directoryStepOf({ step: 'user_bind' })).toBe('user_bind')
  expect(directoryTroubleOf({ trouble: 'untrusted' })).toBe('untrusted')
  expect(directoryTroubleOf({ trouble: 'toString' })).toBeNull()
  expect(directoryTroubleOf({ trouble: null })).toBeNull()
})
