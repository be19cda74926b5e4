/** What an API token is limited to: how it is chosen, and what is asked of the hub for it. */
import type { ApiToken, NewApiToken, TokenScope } from '@/api/types'

/** What somebody has a token for, each with all that comes before it. */
export const REACHES = ['everything', 'look', 'operate', 'deploy'] as const
export type Reach = (typeof REACHES)[number]

export const PLACES = ['everywhere', 'group', 'environments'] as const
export type Place = (typeof PLACES)[number]

const SCOPES: Record<Reach, TokenScope[] | undefined> = {
  everything: undefined,
  look: ['read'],
  operate: ['read', 'operate'],
  deploy: ['read', 'operate', 'deploy'],
}

const NETWORK = /^(?:[\d.]+|[\da-f:.]*:[\da-f:.]*)(?:\/\d{1,3})?$/i

/** The networks in a text; null where one of its words is none. One address is the smallest network. */
export function networksFrom(text: string): string[] | null {
  const words = text.split(/[\s,]+/).filter(Boolean)
  if (!words.every((word) => NETWORK.test(word))) return null
  return words.map((word) => (word.includes('/') ? word : `${word}/${word.includes(':') ? '128' : '32'}`))
}

export interface Chosen {
  reach: Reach
  place: Place
  group: string
  environments: string[]
  networks: string
}

/** What is asked of the hub for it; null while something is missing. */
export function limitsOf({ reach, place, group, environments, networks }: Chosen): Partial<NewApiToken> | null {
  const from = networksFrom(networks)
  if (from === null) return null
  const scopes = SCOPES[reach]
  const limits: Partial<NewApiToken> = { ...(scopes && { scopes }), ...(from.length > 0 && { networks: from }) }
  if (place === 'group') return group === '' ? null : { ...limits, groups: [group] }
  if (place === 'environments') return environments.length === 0 ? null : { ...limits, environments }
  return limits
}

/** Whether a token has less than its owner. */
export function isLimited({ scopes, environments, groups, networks }: ApiToken): boolean {
  return !scopes.includes('admin') || environments.length + groups.length + networks.length > 0
}
