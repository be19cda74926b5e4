/** Roles, places and grants in the user's language. */
import { useI18n } from 'vue-i18n'

import type { Permission } from '@/api/types'

import { holderOf, partsOf, type AccessRole, type Grant, type Scope, type Somebody } from './access'

/** The roles that come with the hub have a name in each language. */
const BUILT_IN = ['administrator', 'operator', 'viewer']

export function useAccessTexts() {
  const { t, te } = useI18n()

  function roleName({ id, name }: Pick<AccessRole, 'id' | 'name'>): string {
    return BUILT_IN.includes(id) ? t(`roles.${id}`) : name
  }

  /** What a permission allows, in a sentence. One that this console does not know is called as the hub calls it. */
  function sentenceOf(permission: Permission): string {
    const { about, what } = partsOf(permission)
    const key = `access.may.${about}.${what}`
    return te(key) || te(key, 'en') ? t(`access.may.${about}.${what}`) : permission
  }

  function holderName(holder: Somebody): string {
    const name = holder.name || t('access.gone')
    return holder.kind === 'team' ? t('access.teamNamed', { name }) : name
  }

  function placeName(scope: Scope, name: string | null | undefined): string {
    switch (scope.kind) {
      case 'everywhere':
        return t('access.where.everywhere')
      case 'label':
        return t('access.where.label', { name: scope.label })
      case 'group':
        return t('access.where.group', { name: name ?? t('access.gone') })
      case 'environment':
        return t('access.where.environment', { name: name ?? t('access.gone') })
    }
  }

  /** A grant as it reads: who has it, its role, and where it holds. */
  function lineOf(grant: Grant): string {
    const role = roleName({ id: grant.role_id, name: grant.role_name })
    return [holderName(holderOf(grant)), role, placeName(grant.scope, grant.scope_name)].join(' · ')
  }

  /** What a grant would mean, or means. */
  function meaningOf(holder: Somebody, role: Pick<AccessRole, 'id' | 'name'>, scope: Scope, place: string | null | undefined): string {
    const what = BUILT_IN.includes(role.id) ? t(`access.does.${role.id}`) : t('access.does.own', { name: role.name })
    const name = scope.kind === 'label' ? scope.label : (place ?? t('access.gone'))
    const where = t(`access.on.${scope.kind}`, { name })
    return t(`access.sentence.${holder.kind}`, { who: holder.name || t('access.gone'), what, where })
  }

  return { roleName, sentenceOf, holderName, placeName, lineOf, meaningOf }
}
