/** What happened, as the hub lists it, and how it is told in words. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'
import { useI18n } from 'vue-i18n'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Activity } from '@/api/types'
import { useRefreshInterval } from '@/shared/lib/liveUpdates'
import { dateTime } from '@/shared/lib/formats/time'

export const PAGE_SIZE = 50

export const KINDS = ['container', 'image', 'volume', 'network', 'daemon', 'environment', 'agent', 'user'] as const
export type Kind = (typeof KINDS)[number]
export const SOURCES = ['engine', 'user'] as const
export type Source = (typeof SOURCES)[number]
/** How far back a list goes, in hours. */
export const SPANS = { hour: 1, day: 24, week: 168 } as const
export type Span = keyof typeof SPANS

export interface ActivityFilter {
  environment?: string
  container?: string
  kind?: Kind
  source?: Source
  q?: string
  /** Not before this moment. */
  from?: string
  /** Only what is older than the page before. */
  cursor?: string
  limit?: number
}

/** One page of what happened, newest first. */
export function useActivity(filter: Ref<ActivityFilter>) {
  return useQuery({
    queryKey: computed(() => [...keys.activity, filter.value]),
    queryFn: ({ signal }) => take(api.GET('/api/v1/activity', { params: { query: { limit: PAGE_SIZE, ...filter.value } }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: useRefreshInterval(),
  })
}

/** The actions that have words of their own. */
const ACTIONS = new Set([
  ...['create', 'start', 'restart', 'stop', 'die', 'kill', 'oom', 'pause', 'unpause', 'rename', 'update', 'destroy', 'remove', 'health_status', 'commit', 'export', 'reveal', 'recover', 'file_download', 'file_write', 'folder_create', 'file_rename', 'file_permit', 'file_delete'].map((name) => `container_${name}`),
  ...['create', 'pull', 'push', 'tag', 'untag', 'delete', 'import', 'load', 'save', 'prune'].map((name) => `image_${name}`),
  ...['create', 'destroy', 'prune'].map((name) => `volume_${name}`),
  ...['create', 'destroy', 'connect', 'disconnect', 'prune'].map((name) => `network_${name}`),
  ...['add', 'remove', 'engine_call', 'host_refuses', 'record_terminals', 'label', 'group', 'policy'].map((name) => `environment_${name}`),
  ...['approve', 'rename', 'revoke', 'duplicate', 'quarantine', 'ticket_forgiven', 'ahead', 'certificate_recover'].map((name) => `agent_${name}`),
  ...['create', 'rename', 'delete'].map((name) => `group_${name}`),
  ...['create', 'disable', 'enable', 'reset_password', 'sign_in', 'sign_out', 'setup', 'setup_code', 'role', 'second_factor_on', 'second_factor_off', 'second_factor_reset', 'recovery_codes', 'recovery_code_used', 'passkey_add', 'passkey_rename', 'passkey_remove', 'passkeys_reset', 'passkey_cloned', 'link_identity', 'unlink_identity', 'password_reset_request', 'password_reset_by_mail', 'email_request', 'email'].map((name) => `user_${name}`),
  ...['create', 'change', 'delete'].flatMap((name) => [`role_${name}`, `identity_provider_${name}`]),
  ...['create', 'rename', 'delete', 'join', 'leave'].map((name) => `team_${name}`),
  ...['create', 'revoke'].flatMap((name) => [`api_token_${name}`, `enrollment_token_${name}`]),
  ...['daemon_reload', 'enrollment_token_use', 'enrollment_token_use_again', 'job_cancel', 'job_cut_off', 'session_revoke', 'session_confirm', 'terminal_open', 'recording_read', 'recording_delete', 'hub_backup', 'hub_restore', 'hub_sign_in_settings', 'hub_keys_rotate', 'hub_master_key_change', 'permission_denied'],
  ...['grant_create', 'grant_delete'],
  ...['create', 'revoke', 'accept', 'register'].map((name) => `invitation_${name}`),
  ...['hub_mail_settings', 'hub_mail_test'],
  ...['begin', 'head_changed', 'prune', 'export', 'shipping'].map((name) => `audit_${name}`),
])

/** The facts that are told, in this order. */
const FACTS = ['exit_code', 'signal', 'health', 'old_name', 'name', 'error', 'detail', 'image'] as const
/** Of grants and teams these are told first. */
const ACCESS_FACTS = ['user', 'team', 'role', 'place'] as const
const OF_ACCESS = /^(grant|team)\./

export function useActivityTexts() {
  const { t, locale } = useI18n()

  /** What happened. What the console has no words for is told in the hub's. */
  function whatOf({ action, at, facts }: Pick<Activity, 'action' | 'at' | 'facts'>): string {
    const from = facts.from
    if (action === GAP) return t('activity.gap', { from: from ? dateTime(from, locale.value) : '?', until: dateTime(at, locale.value) })
    const key = keyOf(action)
    return ACTIONS.has(key) ? t(`activity.action.${key}`) : action
  }

  /** Who did it, or who tells of it. */
  function whoOf({ actor_kind: kind, actor_name: name }: Pick<Activity, 'actor_kind' | 'actor_name'>): string {
    if (name) return name
    const known = ACTORS.find((actor) => actor === kind)
    return known ? t(`activity.actor.${known}`) : kind
  }

  function factsOf({ action, facts }: Activity): string[] {
    const told = OF_ACCESS.test(action) ? [...ACCESS_FACTS, ...FACTS] : FACTS
    return told.flatMap((name) => {
      const value = facts[name]
      return value === undefined ? [] : [t(`activity.fact.${name}`, { value })]
    })
  }

  return { whatOf, whoOf, factsOf }
}

const ACTORS = ['engine', 'local', 'agent', 'system', 'nobody'] as const
const GAP = 'gap.gap'

export function isGap({ action }: Activity): boolean {
  return action === GAP
}

/** `container.extract-to-dir` as part of a key. */
export function keyOf(action: string): string {
  return action.replaceAll(/[.-]/g, '_')
}

/** Whether it went wrong: it was refused, failed, or ended in a way that nobody wishes for. */
export function isTrouble({ action, outcome, facts }: Activity): boolean {
  if (outcome === 'denied' || outcome === 'failed' || action === GAP || action === 'container.oom') return true
  if (action === 'container.health_status') return facts.health === 'unhealthy'
  return action === 'container.die' && (facts.exit_code ?? '0') !== '0'
}
