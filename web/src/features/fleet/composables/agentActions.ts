/** What an administrator can do with the agent of an environment. */
import { useMutation } from '@tanstack/vue-query'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import { useInvalidate } from '@/shared/lib/liveUpdates'

export function useAgentActions(environment: () => string) {
  const invalidate = useInvalidate()
  const refresh = () => {
    invalidate(keys.agents, keys.environment(environment()), keys.environments, keys.enrollmentTokens)
  }

  const approve = useMutation({
    mutationFn: (id: string) => take(api.POST('/api/v1/agents/{id}/approve', { params: { path: { id } } })),
    onSuccess: refresh,
  })
  const revoke = useMutation({
    mutationFn: ({ id, reason }: { id: string; reason: string }) =>
      take(api.POST('/api/v1/agents/{id}/revoke', { params: { path: { id } }, body: { reason } })),
    onSuccess: refresh,
  })
  const reissue = useMutation({
    mutationFn: (id: string) => take(api.POST('/api/v1/agents/{id}/reissue', { params: { path: { id } } })),
    onSuccess: refresh,
  })
  const rename = useMutation({
    mutationFn: ({ id, name }: { id: string; name: string }) =>
      take(api.PATCH('/api/v1/agents/{id}', { params: { path: { id } }, body: { name } })),
    onSuccess: refresh,
  })

  return { approve, revoke, reissue, rename }
}
