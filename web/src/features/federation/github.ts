/** GitHub as an identity provider: what a form makes of it. */
import { mappingDraftsOf, mappingsOf, type MappingDraft, type NewProvider, type Provider } from './federation'

/** Where most people are. */
const USUAL = 'https://github.com'
/** An organization, or a team of one. */
const GROUP = /^[\w.-]+(\/[\w.-]+)?$/

/** A GitHub while somebody writes it: texts as they are typed. */
export interface GitHubDraft {
  name: string
  slug: string
  enabled: boolean
  base: string
  clientId: string
  clientSecret: string
  requiredGroup: string
  createUsers: boolean
  trusted: boolean
  allowPrivate: boolean
  allowHttp: boolean
  authorities: string
  mappings: MappingDraft[]
}

/** What the form begins with. */
export function gitHubDraftOf(provider: Provider | null): GitHubDraft {
  const github = provider?.configuration.kind === 'github' ? provider.configuration : null
  return {
    name: provider?.name ?? 'GitHub',
    slug: provider?.slug ?? 'github',
    enabled: provider?.enabled ?? true,
    base: github?.base ?? USUAL,
    clientId: github?.client_id ?? '',
    clientSecret: '',
    requiredGroup: provider?.required_group ?? '',
    createUsers: provider?.create_users ?? false,
    trusted: provider?.trusted_for_second_factor ?? false,
    allowPrivate: github?.allow_private ?? false,
    allowHttp: github?.allow_http ?? false,
    authorities: github?.authorities ?? '',
    mappings: mappingDraftsOf(provider),
  }
}

/** The address as the hub takes it: nothing behind the host. */
export function baseOf(text: string): string {
  return text.trim().replace(/\/+$/, '')
}

/** Whether the secret that the hub has is not told to this address. */
export function losesSecret(draft: GitHubDraft, provider: Provider | null): boolean {
  if (provider?.configuration.kind !== 'github' || !provider.has_client_secret || draft.clientSecret !== '') return false
  return baseOf(draft.base) !== provider.configuration.base
}

/** What is asked of the hub; null while something is missing. */
export function sentOfGitHub(draft: GitHubDraft, provider: Provider | null): NewProvider | null {
  const [name, slug, client, required] = [draft.name, draft.slug, draft.clientId, draft.requiredGroup].map((text) => text.trim())
  const base = baseOf(draft.base)
  const mappings = mappingsOf(draft.mappings)
  if (!name || !slug || !base || !client || mappings === null) return null
  // Without a secret GitHub gives nothing for a code.
  if (!draft.clientSecret && (!provider?.has_client_secret || losesSecret(draft, provider))) return null
  const groups = [...mappings.map(({ value }) => value), ...(required ? [required] : [])]
  if (!groups.every((group) => GROUP.test(group))) return null
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
      kind: 'github',
      base,
      client_id: client,
      allow_private: draft.allowPrivate,
      allow_http: draft.allowHttp,
      authorities: draft.authorities.trim() || null,
    },
  }
}
