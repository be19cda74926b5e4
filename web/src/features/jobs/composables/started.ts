/** A job that was just asked for: where it is shown. */
import { useRouter } from 'vue-router'

import { keys } from '@/api/queries'
import type { Job } from '@/api/types'
import { useInvalidate } from '@/shared/lib/liveUpdates'

/** Goes to the page of a job that has begun. */
export function useStarted(): (job: Job) => void {
  const router = useRouter()
  const invalidate = useInvalidate()
  return ({ id }) => {
    invalidate(keys.jobs)
    void router.push({ name: 'job', params: { id } })
  }
}
