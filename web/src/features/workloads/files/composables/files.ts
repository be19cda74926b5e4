/** What is asked of the hub about the files of one container. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, take } from '@/api/client'
import { keys } from '@/api/queries'
import type { Container, FileEntry, TextFile } from '@/api/types'

/** Larger files are downloaded, not shown. */
export const TEXT_MAX = 1024 * 1024

const FILES = '/api/v1/environments/{id}/containers/{container}/files'

/** What is in a folder, while somebody looks. */
export function useFolder(container: Ref<Container>, path: Ref<string>, enabled: Ref<boolean>) {
  return useQuery({
    queryKey: computed(() => [...filesKey(container.value), container.value.state, path.value]),
    queryFn: ({ signal }) => take(api.GET(FILES, { params: { path: idsOf(container.value), query: { path: path.value } }, signal })),
    enabled,
    placeholderData: keepPreviousData,
  })
}

/** What begins the keys of all folders of a container. */
export function filesKey({ environment_id: environment, id }: Container) {
  return [...keys.containerDetails(environment, id), 'files']
}

/** Where the browser finds a file's bytes, or an archive of a folder. */
export function contentUrl(container: Container, query: Record<string, string>): string {
  const { id, container: name } = idsOf(container)
  return `/api/v1/environments/${id}/containers/${name}/files/content?${new URLSearchParams(query).toString()}`
}

/** What can be done with the files of a container. */
export function fileCalls(container: Container) {
  const path = idsOf(container)
  return {
    find: (at: string): Promise<FileEntry> => take(api.GET(`${FILES}/entry`, { params: { path, query: { path: at } } })),
    read: (at: string): Promise<TextFile> => take(api.GET(`${FILES}/text`, { params: { path, query: { path: at } } })),
    /** Writes in the place of this version, or a new file. Gives the version that is there then. */
    write: async (at: string, text: string, version?: string): Promise<string> => {
      const query = version === undefined ? { path: at } : { path: at, version }
      const written = await take(
        api.PUT(`${FILES}/text`, { params: { path, query }, body: text, bodySerializer: (body: string) => body, headers: { 'content-type': 'text/plain' } }),
      )
      return written.version
    },
    makeFolder: (at: string): Promise<unknown> => take(api.POST(`${FILES}/folders`, { params: { path }, body: { path: at } })),
    rename: (at: string, to: string): Promise<unknown> => take(api.POST(`${FILES}/rename`, { params: { path }, body: { path: at, to } })),
    permit: (at: string, mode: string): Promise<unknown> => take(api.POST(`${FILES}/permissions`, { params: { path }, body: { path: at, mode } })),
    remove: (at: string): Promise<unknown> => take(api.DELETE(FILES, { params: { path, query: { path: at } } })),
  }
}

function idsOf({ environment_id: id, id: container }: Container) {
  return { id, container }
}
