/** What a RouterLink does; one in each row of a long list costs more than the rest of it. */
import { useRouter } from 'vue-router'

export function useFollow(): (event: MouseEvent, id: string | undefined) => void {
  const router = useRouter()
  return (event, id) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    event.preventDefault()
    if (id !== undefined) void router.push({ name: 'environment', params: { id } })
  }
}
