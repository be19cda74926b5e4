/** The pages that everybody can go to from anywhere, and those that only administrators see. */
import { Box, CirclePlay, CircleUser, HardDrive, History, KeyRound, Layers, LayoutDashboard, ListChecks, Network, Users } from '@lucide/vue'
import { computed, type Component, type ComputedRef } from 'vue'
import { useI18n } from 'vue-i18n'

import { useIsAdministrator } from '@/features/identity/composables/session'

export interface Page {
  to: string
  label: string
  icon: Component
}

export function usePages(): ComputedRef<Page[]> {
  const { t } = useI18n()
  const isAdministrator = useIsAdministrator()
  return computed(() =>
    [
      { to: '/', label: t('dashboard.title'), icon: LayoutDashboard, shown: true },
      { to: '/containers', label: t('containers.heading'), icon: Box, shown: true },
      { to: '/images', label: t('resources.images.heading'), icon: Layers, shown: true },
      { to: '/volumes', label: t('resources.volumes.heading'), icon: HardDrive, shown: true },
      { to: '/networks', label: t('resources.networks.heading'), icon: Network, shown: true },
      { to: '/activity', label: t('activity.title'), icon: History, shown: true },
      { to: '/jobs', label: t('jobs.title'), icon: ListChecks, shown: true },
      { to: '/recordings', label: t('recordings.title'), icon: CirclePlay, shown: isAdministrator.value },
      { to: '/enrollment-tokens', label: t('tokens.title'), icon: KeyRound, shown: isAdministrator.value },
      { to: '/users', label: t('users.title'), icon: Users, shown: isAdministrator.value },
      { to: '/account', label: t('account.title'), icon: CircleUser, shown: true },
    ].filter((page) => page.shown),
  )
}
