/** Jobs: what takes long, as the hub tells of it. */
import { useMutation, useQuery } from '@tanstack/vue-query'
import { computed, toValue, type MaybeRefOrGetter } from 'vue'
import { useI18n } from 'vue-i18n'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Job } from '@/api/types'
import { useInvalidate, useRefreshInterval } from '@/shared/lib/liveUpdates'
import { size } from '@/shared/lib/formats/size'

export type JobState = Job['state']

export const STATE_TONES: Record<JobState, 'good' | 'warn' | 'bad' | 'note' | 'plain'> = {
  queued: 'plain',
  running: 'note',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'warn',
}

/** So many are shown beside a page. */
const RECENT = 8
const ACTIVE_MAX = 100
/** What the hub puts before an engine's own words. */
const ENGINE_SAID = 'The engine said: '

export function isOver({ state }: Job): boolean {
  return state !== 'queued' && state !== 'running'
}

/** How much of it is done, from 0 to 1; null where nobody knows. */
export function fraction({ state, progress }: Job): number | null {
  if (state === 'succeeded') return 1
  const { bytes_done: done, bytes_total: total, steps_done: steps, steps_total: all } = progress
  const inStep = total ? Math.min(1, done / total) : null
  if (!all) return inStep
  return all === 1 ? inStep : Math.min(1, (steps + (inStep ?? 0)) / all)
}

/** Those that wait and run. */
export function useActiveJobs() {
  return useQuery({
    queryKey: [...keys.jobs, 'active'],
    queryFn: ({ signal }) => take(api.GET('/api/v1/jobs', { params: { query: { state: 'active', limit: ACTIVE_MAX } }, signal })),
    refetchInterval: useRefreshInterval(),
  })
}

/** The newest, whatever their state. */
export function useRecentJobs() {
  return useQuery({
    queryKey: [...keys.jobs, 'recent'],
    queryFn: ({ signal }) => take(api.GET('/api/v1/jobs', { params: { query: { limit: RECENT } }, signal })),
    refetchInterval: useRefreshInterval(),
  })
}

export function useJob(id: MaybeRefOrGetter<string>) {
  return useQuery({
    queryKey: computed(() => keys.job(toValue(id))),
    queryFn: ({ signal }) => take(api.GET('/api/v1/jobs/{id}', { params: { path: { id: toValue(id) } }, signal })),
    refetchInterval: useRefreshInterval(),
  })
}

/** Tells jobs to end. */
export function useCancel() {
  const invalidate = useInvalidate()
  return useMutation({
    mutationFn: (id: string) => take(api.POST('/api/v1/jobs/{id}/cancel', { params: { path: { id } } })),
    onSettled: () => {
      invalidate(keys.jobs)
    },
  })
}

/** Jobs in the user's language. */
export function useJobTexts() {
  const { t, te, locale } = useI18n()
  const known = (key: string) => te(key) || te(key, 'en')

  function titleOf(job: Job): string {
    const kind = job.kind.replace('.', '_')
    return known(`jobs.kind.${kind}`) ? t(`jobs.kind.${kind}`, { subject: job.subject }) : `${job.kind} ${job.subject}`
  }

  /** What it is at, or how it ended. */
  function lineOf(job: Job): string {
    if (job.failure) return reasonOf(job.failure)
    if (job.state !== 'running') return t(`jobs.state.${job.state}`)
    const { step, bytes_done: done, bytes_total: total } = job.progress
    const amount = total ? t('jobs.bytes', { done: size(done, locale.value), total: size(total, locale.value) }) : ''
    const name = step && known(`jobs.step.${step}`) ? t(`jobs.step.${step}`) : (step ?? t('jobs.state.running'))
    return [name, amount].filter(Boolean).join(' · ')
  }

  /** Why it failed, with what the engine said of it. */
  function reasonOf({ code, message }: NonNullable<Job['failure']>): string {
    const words = message.split(ENGINE_SAID).at(-1) ?? message
    if (known(`jobs.failure.${code}`)) return t(`jobs.failure.${code}`, { words })
    return known(`failures.${code}`) ? t(`failures.${code}`, { words }) : message
  }

  /** What came of it, where there is more to say than that it is done. */
  function resultOf(job: Job): string | null {
    const result = (job.result ?? null) as Record<string, unknown> | null
    if (!result || job.kind !== 'environment.prune') return null
    const removed = Object.values((result.removed ?? {}) as Record<string, number>).reduce((sum, count) => sum + count, 0)
    const freed = size(Number(result.freed_bytes ?? 0), locale.value)
    return t('jobs.pruned', { removed, freed, kept: Number(result.kept ?? 0) })
  }

  return { titleOf, lineOf, reasonOf, resultOf }
}
