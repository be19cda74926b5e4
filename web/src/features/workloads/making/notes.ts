/** What is in the container's way, as notes below the fields. */
import { computed, type Ref } from 'vue'
import { useI18n } from 'vue-i18n'

import type { Conflicts } from '@/api/types'

import type { FieldName } from './draft/draft'

export function useNotes(conflicts: Ref<Conflicts | undefined>) {
  const { t } = useI18n()
  return computed(() => {
    const notes: Partial<Record<FieldName, string>> = {}
    for (const { field, container_name: name, is_running: runs } of conflicts.value?.conflicts ?? []) {
      if (field === 'name') notes.name = t('making.conflict.name')
      else notes.ports ??= runs ? t('making.conflict.port', { name }) : t('making.conflict.portOfStopped', { name })
    }
    return notes
  })
}
