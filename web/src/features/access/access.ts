/** Who may do what where: the hub's things by short names, and what follows from them. */
import type { components } from '@/api/schema'
import type { Permission } from '@/api/types'
import { labelsFrom, linesOfLabels } from '@/features/fleet/groups/labels'

type Schemas = components['schemas']

/** What can be granted; a user's own role is a `Role`. */
export type AccessRole = Schemas['AccessRole']
export type Team = Schemas['Team']
export type TeamMember = Schemas['TeamMember']
export type Grant = Schemas['Grant']
export type NewGrant = Schemas['NewGrant']
export type Scope = Schemas['Scope']
export type ScopeKind = Scope['kind']

/** Of those that one is chosen from, as many are shown; a search finds the others. */
export const SHOWN_MAX = 50

export const SCOPE_KINDS: ScopeKind[] = ['everywhere', 'group', 'label', 'environment']

/** All there are, what belongs together side by side. */
export const PERMISSIONS: Permission[] = [
  'environments.view',
  'environments.manage',
  'groups.manage',
  'agents.manage',
  'enrollment.manage',
  'containers.view',
  'containers.logs',
  'containers.operate',
  'containers.exec',
  'containers.deploy',
  'containers.remove',
  'files.read',
  'files.write',
  'secrets.read',
  'images.view',
  'images.pull',
  'volumes.view',
  'networks.view',
  'engine.prune',
  'engine.raw',
  'metrics.view',
  'activity.view',
  'audit.view',
  'jobs.view',
  'jobs.cancel',
  'recordings.view',
  'recordings.delete',
  'users.manage',
  'hub.manage',
]

/** Those that concern the hub as a whole: granted for some environments only, they allow nothing. */
export const EVERYWHERE_ONLY: Permission[] = ['groups.manage', 'enrollment.manage', 'audit.view', 'users.manage', 'hub.manage']

/** Whoever has one of these owns more than its name says. */
const OWNING: Partial<Record<Permission, 'host' | 'hub'>> = {
  'containers.deploy': 'host',
  'engine.raw': 'host',
  'users.manage': 'hub',
}

/** What a permission makes somebody the owner of. */
export function ownedBy(permission: Permission): 'host' | 'hub' | null {
  return OWNING[permission] ?? null
}

/** What a permission is about, and what may be done with it. */
export function partsOf(permission: Permission): { about: string; what: string } {
  const [about = '', what = ''] = permission.split('.')
  return { about, what }
}

/** Permissions by what they are about, in the order of all of them. */
export function grouped(permissions: readonly Permission[]): { about: string; permissions: Permission[] }[] {
  const groups = new Map<string, Permission[]>()
  for (const permission of PERMISSIONS.filter((one) => permissions.includes(one))) {
    const { about } = partsOf(permission)
    groups.set(about, [...(groups.get(about) ?? []), permission])
  }
  return [...groups].map(([about, members]) => ({ about, permissions: members }))
}

/** What of a role allows nothing in a grant that does not hold everywhere. */
export function idleIn(permissions: readonly Permission[], kind: ScopeKind): Permission[] {
  return kind === 'everywhere' ? [] : permissions.filter((permission) => EVERYWHERE_ONLY.includes(permission))
}

/** Whether two roles allow the same. */
export function isSame(some: readonly Permission[], others: readonly Permission[]): boolean {
  return some.length === others.length && some.every((permission) => others.includes(permission))
}

/** One label as the hub wants it, from what was typed; null where it is none, or several. */
export function labelFrom(text: string): string | null {
  const labels = labelsFrom(text)
  return labels !== null && Object.keys(labels).length === 1 ? linesOfLabels(labels) : null
}

/** Where a grant is to hold, as far as it was chosen. */
export interface Where {
  kind: ScopeKind
  group: string
  label: string
  environment: string
}

/** The scope of a grant; null while something is missing. */
export function scopeOf({ kind, group, label, environment }: Where): Scope | null {
  switch (kind) {
    case 'everywhere':
      return { kind }
    case 'group':
      return group ? { kind, group_id: group } : null
    case 'label': {
      const read = labelFrom(label)
      return read === null ? null : { kind, label: read }
    }
    case 'environment':
      return environment ? { kind, environment_id: environment } : null
  }
}

/** Somebody who can be granted something. */
export interface Somebody {
  kind: 'user' | 'team'
  id: string
  name: string
}

/** Who has a grant. A name that is missing belongs to somebody who is gone. */
export function holderOf({ user_id: user, user_name: userName, team_id: team, team_name: teamName }: Grant): Somebody {
  return team == null ? { kind: 'user', id: user ?? '', name: userName ?? '' } : { kind: 'team', id: team, name: teamName ?? '' }
}

/** How many grants a user has of their own, by user. */
export function grantsByUser(grants: readonly Grant[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { user_id: user } of grants) {
    if (user != null) counts.set(user, (counts.get(user) ?? 0) + 1)
  }
  return counts
}
