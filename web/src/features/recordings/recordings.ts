/** The recordings of terminals, as the hub lists them, and what is told of one. */
import { useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'
import { useI18n } from 'vue-i18n'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Recording } from '@/api/types'
import { useRefreshInterval } from '@/shared/lib/liveUpdates'

export const PAGE_SIZE = 25

/** How the states look. */
export const STATE_TONES = { running: 'note', complete: 'plain', broken_off: 'warn' } as const

export function useRecording(id: Ref<string>) {
  return useQuery({
    queryKey: computed(() => [...keys.recordings, 'one', id.value]),
    queryFn: ({ signal }) => take(api.GET('/api/v1/recordings/{id}', { params: { path: { id: id.value } }, signal })),
    refetchInterval: useRefreshInterval(),
  })
}

/** Where it is downloaded. */
export function castUrl(id: string): string {
  return `/api/v1/recordings/${id}/cast`
}

export function useRecordingTexts() {
  const { t } = useI18n()

  /** What ran, and where. */
  function titleOf({ command, container, container_name: name }: Recording): string {
    return t('recordings.of', { command: command?.join(' ') ?? t('terminals.aim.main'), container: name ?? container.slice(0, 12) })
  }

  return { titleOf }
}
