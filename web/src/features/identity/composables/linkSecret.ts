/** The secret of a mailed link. It stands behind the `#` of the address, which no server sees, and is taken out of it. */
import { onMounted, ref } from 'vue'
import { useRoute, useRouter } from 'vue-router'

const FORM = /^#(wfl1_[a-z0-9]{52})$/

/** What a hash holds; an empty text where that is no secret. */
export function secretIn(hash: string): string {
  return FORM.exec(hash)?.[1] ?? ''
}

export function useLinkSecret() {
  const route = useRoute()
  const router = useRouter()
  const secret = ref(secretIn(route.hash))
  // Neither the history nor a picture of the screen keeps it.
  onMounted(() => {
    if (route.hash) void router.replace({ query: route.query, hash: '' })
  })
  return secret
}
