/** The audit log, as the hub lists it, and whether it is as the hub wrote it. */
import { keepPreviousData, useMutation, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'
import { useI18n } from 'vue-i18n'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { AuditRecord, Verification } from '@/api/types'
import { useActivityTexts } from '@/features/activity/activity'
import { useRefreshInterval } from '@/shared/lib/liveUpdates'
import { dateTime } from '@/shared/lib/formats/time'

import type { Wanted } from './filter/filter'

export const PAGE_SIZE = 50

/** How outcomes look. */
export const OUTCOME_TONES = { done: 'plain', begun: 'note', denied: 'bad', failed: 'bad' } as const
export type KnownOutcome = keyof typeof OUTCOME_TONES

/** One page of records, newest first. */
export function useAudit(wanted: Ref<Wanted & { cursor?: string }>) {
  return useQuery({
    queryKey: computed(() => [...keys.audit, wanted.value]),
    queryFn: ({ signal }) => take(api.GET('/api/v1/audit', { params: { query: { limit: PAGE_SIZE, ...wanted.value } }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: useRefreshInterval(),
  })
}

/** Has the hub walk the whole log. */
export function useVerify() {
  return useMutation({
    mutationFn: (expect: string) => take(api.GET('/api/v1/audit/verify', { params: { query: expect ? { expect } : {} } })),
  })
}

/** What to note elsewhere, to expect it later. */
export function noted({ last_seq: seq, head_hash: hash }: Pick<Verification, 'last_seq' | 'head_hash'>): string {
  return seq > 0 ? `${String(seq)}:${hash}` : ''
}

export function outcomeOf({ outcome }: Pick<AuditRecord, 'outcome'>): KnownOutcome | null {
  return (Object.keys(OUTCOME_TONES) as KnownOutcome[]).find((known) => known === outcome) ?? null
}

/** What it was done to: its name where the record has it. */
export function targetOf({ target_id: id, details }: Pick<AuditRecord, 'target_id'> & { details: object }): string {
  const { target_name: name } = details as Record<string, unknown>
  return typeof name === 'string' && name ? name : (id ?? '')
}

export function useAuditTexts() {
  const { t, locale } = useI18n()
  const { whatOf, whoOf } = useActivityTexts()

  /** All that a record says, for people. */
  function factsOf(record: AuditRecord) {
    const outcome = outcomeOf(record)
    return [
      { label: t('audit.field.at'), value: dateTime(record.at, locale.value) },
      { label: t('audit.field.action'), value: record.action, mono: true },
      { label: t('audit.field.outcome'), value: outcome ? t(`audit.outcome.${outcome}`) : record.outcome },
      { label: t('audit.field.actor'), value: whoOf(record) },
      { label: t('audit.field.actorId'), value: record.actor_id ?? null, mono: true },
      { label: t('audit.field.credential'), value: record.credential ?? null, mono: true },
      { label: t('audit.field.target'), value: record.target_id || null, mono: true },
      { label: t('audit.field.environment'), value: record.environment_id ?? null, mono: true },
      { label: t('audit.field.address'), value: record.address ?? null, mono: true },
      { label: t('audit.field.request'), value: record.request_id ?? null, mono: true },
      { label: t('audit.field.seq'), value: record.seq == null ? t('audit.unchained') : String(record.seq) },
      { label: t('audit.field.hash'), value: record.hash ?? null, mono: true },
    ]
  }

  /** What was done, in words. */
  function actionOf(record: AuditRecord): string {
    return whatOf({ action: record.action, at: record.at, facts: {} })
  }

  return { factsOf, actionOf, whoOf }
}
