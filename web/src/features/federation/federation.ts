/** Identity providers: the hub's things by short names, and what a form makes of them. */
import type { components } from '@/api/schema'
import { scopeOf, type Scope, type ScopeKind } from '@/features/access/access'

type Schemas = components['schemas']

export type Provider = Schemas['Provider']
export type NewProvider = Schemas['NewProvider']
export type Mapping = Schemas['Mapping']
export type LinkedIdentity = Schemas['LinkedIdentity']
export type TestStep = Schemas['TestStep']

/** A group there and what it brings here, while somebody writes it. */
export interface MappingDraft {
  value: string
  role: string
  kind: ScopeKind
  group: string
  label: string
  environment: string
}

/** A provider while somebody writes it: texts as they are typed. */
export interface ProviderDraft {
  name: string
  slug: string
  enabled: boolean
  issuer: string
  clientId: string
  clientSecret: string
  scopes: string
  groupsClaim: string
  requiredGroup: string
  createUsers: boolean
  trusted: boolean
  allowPrivate: boolean
  allowHttp: boolean
  authorities: string
  mappings: MappingDraft[]
}

export function emptyMapping(): MappingDraft {
  return { value: '', role: 'viewer', kind: 'everywhere', group: '', label: '', environment: '' }
}

/** What the form begins with. */
export function draftOf(provider: Provider | null): ProviderDraft {
  const oidc = provider?.configuration.kind === 'oidc' ? provider.configuration : null
  return {
    name: provider?.name ?? '',
    slug: provider?.slug ?? '',
    enabled: provider?.enabled ?? true,
    issuer: oidc?.issuer ?? '',
    clientId: oidc?.client_id ?? '',
    clientSecret: '',
    scopes: (oidc?.scopes ?? ['profile', 'email']).join(' '),
    groupsClaim: oidc?.groups_claim ?? '',
    requiredGroup: provider?.required_group ?? '',
    createUsers: provider?.create_users ?? false,
    trusted: provider?.trusted_for_second_factor ?? false,
    allowPrivate: oidc?.allow_private ?? false,
    allowHttp: oidc?.allow_http ?? false,
    authorities: oidc?.authorities ?? '',
    mappings: mappingDraftsOf(provider),
  }
}

/** The mappings that a form begins with. */
export function mappingDraftsOf(provider: Provider | null): MappingDraft[] {
  return (provider?.mappings ?? []).map(({ value, role, scope }) => ({ ...emptyMapping(), value, role, ...whereOf(scope) }))
}

function whereOf(scope: Scope): Partial<MappingDraft> {
  switch (scope.kind) {
    case 'everywhere':
      return { kind: scope.kind }
    case 'group':
      return { kind: scope.kind, group: scope.group_id }
    case 'label':
      return { kind: scope.kind, label: scope.label }
    case 'environment':
      return { kind: scope.kind, environment: scope.environment_id }
  }
}

/** What is asked of the hub; null while something is missing. */
export function sentOf(draft: ProviderDraft): NewProvider | null {
  const [name, slug, issuer, client] = [draft.name, draft.slug, draft.issuer, draft.clientId].map((text) => text.trim())
  if (!name || !slug || !issuer || !client) return null
  const mappings = mappingsOf(draft.mappings)
  if (mappings === null) return null
  const groups = draft.groupsClaim.trim()
  const required = draft.requiredGroup.trim()
  if ((mappings.length > 0 || required) && !groups) return null
  return {
    name,
    slug,
    enabled: draft.enabled,
    create_users: draft.createUsers,
    trusted_for_second_factor: draft.trusted,
    required_group: required || null,
    client_secret: draft.clientSecret || null,
    mappings,
    configuration: {
      kind: 'oidc',
      issuer,
      client_id: client,
      scopes: draft.scopes.split(/\s+/).filter(Boolean),
      groups_claim: groups || null,
      allow_private: draft.allowPrivate,
      allow_http: draft.allowHttp,
      authorities: draft.authorities.trim() || null,
    },
  }
}

/** The mappings that are asked of the hub; null while something is missing. */
export function mappingsOf(drafts: MappingDraft[]): Mapping[] | null {
  const mappings: Mapping[] = []
  for (const { value, role, ...where } of drafts) {
    const scope = scopeOf(where)
    if (!value.trim() || scope === null) return null
    mappings.push({ value: value.trim(), role, scope })
  }
  return mappings
}

/** Where a provider is, in a line. */
export function addressOf({ configuration }: Pick<Provider, 'configuration'>): string {
  switch (configuration.kind) {
    case 'oidc':
      return configuration.issuer
    case 'github':
      return configuration.base ?? ''
    case 'ldap':
      return configuration.servers.join(' ')
  }
}

/** Where the provider is to send people back to: what has to be told to it. */
export function callbackOf(slug: string, origin: string): string {
  return `${origin}/api/v1/auth/oidc/${slug.trim() || '…'}/callback`
}

/** Where the provider is to say that a session ended there. */
export function logoutOf(slug: string, origin: string): string {
  return `${origin}/api/v1/auth/oidc/${slug.trim() || '…'}/backchannel-logout`
}

/** Where a browser goes to sign in with a provider, and comes back from to this page. */
export function startOf(slug: string, next: string): string {
  return `/api/v1/auth/oidc/${encodeURIComponent(slug)}/start?next=${encodeURIComponent(next)}`
}

/** Why somebody is sent back whom a provider was to sign in. */
const FAILURES = ['expired', 'provider', 'refused', 'unknown', 'group', 'disabled', 'factor', 'linked', 'somebody_else'] as const
export type SignInFailure = (typeof FAILURES)[number]

export function failureNamed(value: unknown): SignInFailure | null {
  return FAILURES.find((known) => known === value) ?? null
}

/** What may be wrong with a provider. */
const TROUBLES = ['not_allowed', 'private', 'no_document', 'other_issuer', 'endpoints', 'no_keys'] as const
export type Trouble = (typeof TROUBLES)[number]

export function troubleOf({ trouble }: Pick<TestStep, 'trouble'>): Trouble | null {
  return TROUBLES.find((known) => known === trouble) ?? null
}

const STEPS = ['discovery', 'endpoints', 'keys', 'api'] as const

export function stepOf({ step }: Pick<TestStep, 'step'>): (typeof STEPS)[number] {
  return STEPS.find((known) => known === step) ?? 'discovery'
}
