/** The pages that a user can go to from anywhere: those for what they may do. */
import { Box, CirclePlay, CircleUser, HardDrive, History, KeyRound, Layers, LayoutDashboard, ListChecks, Network, ScrollText, Users } from '@lucide/vue'
import { computed, type Component, type ComputedRef } from 'vue'
import { useI18n } from 'vue-i18n'

import type { Permission } from '@/api/types'
import { useMe } from '@/features/identity/composables/session'

export interface Page {
  to: string
  label: string
  icon: Component
}

export function usePages(): ComputedRef<Page[]> {
  const { t } = useI18n()
  const me = useMe()
  return computed(() => {
    const pages: (Page & { needs?: Permission })[] = [
      { to: '/', label: t('dashboard.title'), icon: LayoutDashboard, needs: 'environments.view' },
      { to: '/containers', label: t('containers.heading'), icon: Box, needs: 'containers.view' },
      { to: '/images', label: t('resources.images.heading'), icon: Layers, needs: 'images.view' },
      { to: '/volumes', label: t('resources.volumes.heading'), icon: HardDrive, needs: 'volumes.view' },
      { to: '/networks', label: t('resources.networks.heading'), icon: Network, needs: 'networks.view' },
      { to: '/activity', label: t('activity.title'), icon: History, needs: 'activity.view' },
      { to: '/jobs', label: t('jobs.title'), icon: ListChecks, needs: 'jobs.view' },
      { to: '/recordings', label: t('recordings.title'), icon: CirclePlay, needs: 'recordings.view' },
      { to: '/audit', label: t('audit.title'), icon: ScrollText, needs: 'audit.view' },
      { to: '/enrollment-tokens', label: t('tokens.title'), icon: KeyRound, needs: 'enrollment.manage' },
      { to: '/users', label: t('users.title'), icon: Users, needs: 'users.manage' },
      { to: '/account', label: t('account.title'), icon: CircleUser },
    ]
    return pages.filter(({ needs }) => needs === undefined || me.value.permissions.includes(needs))
  })
}
