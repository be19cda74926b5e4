/** The pages that a user can go to from anywhere: those for what they may do. */
import { Box, CirclePlay, CircleUser, Fingerprint, HardDrive, History, KeyRound, Layers, LayoutDashboard, ListChecks, LockKeyhole, Mail, Network, ScrollText, ShieldCheck, Users } from '@lucide/vue'
import { computed, type Component, type ComputedRef } from 'vue'
import { useI18n } from 'vue-i18n'

import type { Me, Permission } from '@/api/types'
import { useMe } from '@/features/identity/composables/session'

export interface Page {
  to: string
  label: string
  icon: Component
}

/** What a page is about: environments, where one is enough, or the hub as a whole. */
type Needs = { inOne: Permission } | { everywhere: Permission } | null

export function usePages(): ComputedRef<Page[]> {
  const { t } = useI18n()
  const me = useMe()
  return computed(() => {
    const pages: (Page & { needs: Needs })[] = [
      { to: '/', label: t('dashboard.title'), icon: LayoutDashboard, needs: { inOne: 'environments.view' } },
      { to: '/containers', label: t('containers.heading'), icon: Box, needs: { inOne: 'containers.view' } },
      { to: '/images', label: t('resources.images.heading'), icon: Layers, needs: { inOne: 'images.view' } },
      { to: '/volumes', label: t('resources.volumes.heading'), icon: HardDrive, needs: { inOne: 'volumes.view' } },
      { to: '/networks', label: t('resources.networks.heading'), icon: Network, needs: { inOne: 'networks.view' } },
      { to: '/activity', label: t('activity.title'), icon: History, needs: { inOne: 'activity.view' } },
      { to: '/jobs', label: t('jobs.title'), icon: ListChecks, needs: { inOne: 'jobs.view' } },
      { to: '/recordings', label: t('recordings.title'), icon: CirclePlay, needs: { inOne: 'recordings.view' } },
      { to: '/audit', label: t('audit.title'), icon: ScrollText, needs: { everywhere: 'audit.view' } },
      { to: '/enrollment-tokens', label: t('tokens.title'), icon: KeyRound, needs: { everywhere: 'enrollment.manage' } },
      { to: '/users', label: t('users.title'), icon: Users, needs: { everywhere: 'users.manage' } },
      { to: '/access', label: t('access.title'), icon: ShieldCheck, needs: { everywhere: 'users.manage' } },
      { to: '/mail', label: t('mail.title'), icon: Mail, needs: { everywhere: 'hub.manage' } },
      { to: '/keys', label: t('keys.title'), icon: LockKeyhole, needs: { everywhere: 'hub.manage' } },
      { to: '/identity-providers', label: t('federation.title'), icon: Fingerprint, needs: { everywhere: 'hub.manage' } },
      { to: '/account', label: t('account.title'), icon: CircleUser, needs: null },
    ]
    return pages.filter(({ needs }) => isMet(needs, me.value))
  })
}

function isMet(needs: Needs, { permissions, permissions_somewhere: somewhere }: Me): boolean {
  if (needs === null) return true
  return 'inOne' in needs ? somewhere.includes(needs.inOne) : permissions.includes(needs.everywhere)
}
