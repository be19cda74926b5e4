/** What a host's own policy refuses, which no hub can change. */
import { computed, inject, provide, type ComputedRef, type InjectionKey, type Ref } from 'vue'
import { useI18n } from 'vue-i18n'

import type { Environment, EnvironmentPolicy } from '@/api/types'

/** A rule by which a host refuses a whole kind of requests. */
export type HostRule = 'logs' | 'operate' | 'pull' | 'prune' | 'deploy' | 'exec' | 'files.read' | 'files.write' | 'capture'

type Policy = EnvironmentPolicy | null | undefined

const policyKey: InjectionKey<ComputedRef<Policy>> = Symbol('policy of the host')

/** Whether the host refuses everything of this kind. An older agent says nothing of it, and refuses nothing. */
export function refuses(policy: Policy, rule: HostRule): boolean {
  return policy?.refuses.includes(rule) ?? false
}

/** For a page of one environment: what its host refuses, which everything on the page goes by. */
export function useHostPolicy(environment: Ref<Pick<Environment, 'policy'> | undefined>): (rule: HostRule) => string | null {
  const policy = computed(() => environment.value?.policy)
  provide(policyKey, policy)
  return useWords(policy)
}

/** Why the host of the page refuses something, or null. On a page of no host in particular nothing is known of it. */
export function useHostRefusals(): (rule: HostRule) => string | null {
  return useWords(inject(policyKey, computed(() => null)))
}

function useWords(policy: Ref<Policy>): (rule: HostRule) => string | null {
  const { t } = useI18n()
  return (rule) => (refuses(policy.value, rule) ? t('hostPolicy.refuses', { rule }) : null)
}
