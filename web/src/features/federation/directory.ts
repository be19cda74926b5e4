/** Directories that speak LDAP: what a form makes of them, and the steps of a test. */
import type { components } from '@/api/schema'

import { mappingDraftsOf, mappingsOf, type MappingDraft, type NewProvider, type Provider, type TestStep } from './federation'

type Schemas = components['schemas']

export type GroupSource = Schemas['GroupSource']
export type Nesting = Schemas['Nesting']

export const GROUP_SOURCES: readonly GroupSource[] = ['none', 'attribute', 'search']
export const NESTINGS: readonly Nesting[] = ['none', 'walk', 'in_chain']

/** What kind of directory it is: what its entries look like unless somebody says otherwise. */
export const FLAVOURS = ['usual', 'active_directory'] as const
export type Flavour = (typeof FLAVOURS)[number]

/** A directory while somebody writes it: texts as they are typed. */
export interface DirectoryDraft {
  name: string
  slug: string
  enabled: boolean
  createUsers: boolean
  servers: string
  allowPlain: boolean
  allowPrivate: boolean
  authorities: string
  bindDn: string
  password: string
  baseDn: string
  userFilter: string
  idAttribute: string
  nameAttribute: string
  groups: GroupSource
  groupAttribute: string
  groupBaseDn: string
  groupFilter: string
  nesting: Nesting
  requiredGroup: string
  position: string
  mappings: MappingDraft[]
}

type Entries = Pick<DirectoryDraft, 'userFilter' | 'idAttribute' | 'nameAttribute' | 'groups' | 'groupAttribute' | 'groupFilter' | 'nesting'>

/** What the entries of such a directory look like. */
export function entriesOf(flavour: Flavour): Entries {
  const groups = { groups: 'search', groupAttribute: 'memberOf', groupFilter: '(member={dn})' } as const
  if (flavour === 'usual') return { ...groups, userFilter: '(&(objectClass=person)(uid={name}))', idAttribute: 'entryUUID', nameAttribute: 'uid', nesting: 'walk' }
  return { ...groups, userFilter: '(&(objectCategory=person)(objectClass=user)(sAMAccountName={name}))', idAttribute: 'objectGUID', nameAttribute: 'sAMAccountName', nesting: 'in_chain' }
}

/** What the form begins with. */
export function directoryDraftOf(provider: Provider | null): DirectoryDraft {
  const ldap = provider?.configuration.kind === 'ldap' ? provider.configuration : null
  const usual = entriesOf('usual')
  return {
    name: provider?.name ?? '',
    slug: provider?.slug ?? '',
    enabled: provider?.enabled ?? true,
    createUsers: provider?.create_users ?? true,
    servers: (ldap?.servers ?? []).join('\n'),
    allowPlain: ldap?.allow_plain ?? false,
    allowPrivate: ldap?.allow_private ?? false,
    authorities: ldap?.authorities ?? '',
    bindDn: ldap?.bind_dn ?? '',
    password: '',
    baseDn: ldap?.base_dn ?? '',
    userFilter: ldap?.user_filter ?? usual.userFilter,
    idAttribute: ldap?.id_attribute ?? usual.idAttribute,
    nameAttribute: ldap?.name_attribute ?? usual.nameAttribute,
    groups: ldap?.groups ?? usual.groups,
    groupAttribute: ldap?.group_attribute ?? usual.groupAttribute,
    groupBaseDn: ldap?.group_base_dn ?? '',
    groupFilter: ldap?.group_filter ?? usual.groupFilter,
    nesting: ldap?.nested_groups ?? usual.nesting,
    requiredGroup: provider?.required_group ?? '',
    position: String(ldap?.position ?? 0),
    mappings: mappingDraftsOf(provider),
  }
}

/** The servers in a text, whatever stands between them. */
export function serversOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean)
}

/** Whether the password that the hub has is not told to these servers. */
export function losesPassword(draft: DirectoryDraft, provider: Provider | null): boolean {
  if (provider?.configuration.kind !== 'ldap' || !provider.has_client_secret || draft.password !== '') return false
  const { servers, allow_plain: openly = false } = provider.configuration
  return serversOf(draft.servers).join(' ') !== servers.join(' ') || draft.allowPlain !== openly
}

/** What is asked of the hub; null while something is missing. */
export function sentOfDirectory(draft: DirectoryDraft): NewProvider | null {
  const [name, slug, baseDn, userFilter] = [draft.name, draft.slug, draft.baseDn, draft.userFilter].map((text) => text.trim())
  const servers = serversOf(draft.servers)
  const mappings = mappingsOf(draft.mappings)
  const required = draft.requiredGroup.trim()
  const position = Number(draft.position)
  if (!name || !slug || !baseDn || !userFilter || servers.length === 0 || mappings === null) return null
  if (!Number.isInteger(position) || position < 0 || position > 65_535) return null
  if ((mappings.length > 0 || required) && draft.groups === 'none') return null
  return {
    name,
    slug,
    enabled: draft.enabled,
    create_users: draft.createUsers,
    trusted_for_second_factor: false,
    required_group: required || null,
    client_secret: draft.password || null,
    mappings,
    configuration: {
      kind: 'ldap',
      servers,
      allow_plain: draft.allowPlain,
      allow_private: draft.allowPrivate,
      authorities: draft.authorities.trim() || null,
      bind_dn: draft.bindDn.trim() || null,
      base_dn: baseDn,
      user_filter: userFilter,
      id_attribute: draft.idAttribute.trim(),
      name_attribute: draft.nameAttribute.trim(),
      groups: draft.groups,
      group_attribute: draft.groupAttribute.trim(),
      group_base_dn: draft.groupBaseDn.trim() || null,
      group_filter: draft.groupFilter.trim(),
      nested_groups: draft.nesting,
      position,
    },
  }
}

const STEPS = ['connect', 'tls', 'service_bind', 'base', 'group_base', 'search', 'user_bind', 'groups', 'roles'] as const

export function directoryStepOf({ step }: Pick<TestStep, 'step'>): (typeof STEPS)[number] {
  return STEPS.find((known) => known === step) ?? 'connect'
}

const TROUBLES = [
  'unresolved', 'private', 'unconnected', 'untrusted', 'other_name', 'expired', 'no_tls', 'slow', 'broken', 'start_tls', 'service_refused', 'search_refused',
  'too_much', 'no_base', 'no_id', 'nobody', 'ambiguous', 'wrong_password', 'group',
] as const
export type DirectoryTrouble = (typeof TROUBLES)[number]

export function directoryTroubleOf({ trouble }: Pick<TestStep, 'trouble'>): DirectoryTrouble | null {
  return TROUBLES.find((known) => known === trouble) ?? null
}
