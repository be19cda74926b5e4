/** What somebody who is not signed in can do here. */
import { useQuery } from '@tanstack/vue-query'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'

export function useWays() {
  return useQuery({
    queryKey: keys.ways,
    queryFn: ({ signal }) => take(api.GET('/api/v1/auth/ways', { signal })),
    meta: { public: true },
    staleTime: 60_000,
  })
}
