/** Files on their way into a container: a few at once, each with its progress, and all of them can be stopped. */
import { onScopeDispose, ref } from 'vue'
import { useI18n } from 'vue-i18n'

import { ApiFailure, failureOf } from '@/api/failure'
import type { Container } from '@/api/types'
import { useFailures } from '@/shared/lib/failures'

import { contentUrl, fileCalls } from './files'
import type { Chosen } from './dropped'
import { join } from './paths'

export interface Upload {
  id: number
  /** Where it is to be. */
  path: string
  size: number
  sent: number
  state: 'waiting' | 'running' | 'done' | 'failed' | 'stopped'
  why: string
}

/** So many go at once: each is a request of its own. */
const AT_ONCE = 2

export function useUploads(container: () => Container, arrived: () => void) {
  const { explain } = useFailures()
  const { t } = useI18n()
  const uploads = ref<Upload[]>([])
  const waiting: { upload: Upload; file: File; replaces: boolean }[] = []
  const running = new Map<number, XMLHttpRequest | null>()
  let next = 1

  function add(folder: string, files: Chosen[], replaces: boolean) {
    for (const { path, file } of files) {
      uploads.value.push({ id: next++, path: join(folder, path), size: file.size, sent: 0, state: 'waiting', why: '' })
      const upload = uploads.value.at(-1)
      if (upload) waiting.push({ upload, file, replaces })
    }
    void go()
  }

  async function go() {
    while (running.size < AT_ONCE) {
      const one = waiting.shift()
      if (!one) return
      if (one.upload.state === 'waiting') void carry(one.upload, one.file, one.replaces)
    }
  }

  async function carry(upload: Upload, file: File, replaces: boolean) {
    upload.state = 'running'
    running.set(upload.id, null)
    try {
      // Asked first, since nobody wants to send a large file only to hear that it is there.
      if (!replaces && (await isThere(upload.path))) throw new ApiFailure(409, 'file_exists', t('failures.file_exists'))
      if (wasStopped(upload)) return
      const replace: Record<string, string> = replaces ? { replace: 'true' } : {}
      await send(contentUrl(container(), { path: upload.path, ...replace }), file, upload, (request) => running.set(upload.id, request))
      upload.state = 'done'
      arrived()
    } catch (thrown) {
      if (wasStopped(upload)) return
      upload.state = 'failed'
      upload.why = explain(thrown).text
    } finally {
      running.delete(upload.id)
      void go()
    }
  }

  async function isThere(path: string): Promise<boolean> {
    try {
      await fileCalls(container()).find(path)
      return true
    } catch (thrown) {
      if (thrown instanceof ApiFailure && thrown.status === 404 && thrown.code === 'no_such_file') return false
      throw thrown
    }
  }

  function stop(upload: Upload) {
    if (upload.state !== 'waiting' && upload.state !== 'running') return
    upload.state = 'stopped'
    running.get(upload.id)?.abort()
  }

  function stopAll() {
    for (const upload of uploads.value) stop(upload)
  }

  function clear() {
    uploads.value = uploads.value.filter(({ state }) => state === 'waiting' || state === 'running')
  }

  onScopeDispose(stopAll)
  return { uploads, add, stop, stopAll, clear }
}

/** Only this kind of request tells how much of a body was sent. */
function send(url: string, file: File, upload: Upload, begun: (request: XMLHttpRequest) => void): Promise<void> {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest()
    request.upload.onprogress = ({ loaded }) => {
      upload.sent = loaded
    }
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) done()
      else fail(failureOf(headOf(request), bodyOf(request)))
    }
    request.onerror = () => {
      fail(new ApiFailure(0, 'unreachable', ''))
    }
    request.onabort = () => {
      fail(new ApiFailure(0, 'stopped', ''))
    }
    request.open('PUT', url)
    request.setRequestHeader('content-type', 'application/octet-stream')
    request.send(file)
    begun(request)
  })
}

/** Its state may have changed while something was awaited. */
function wasStopped(upload: Upload): boolean {
  return upload.state === 'stopped'
}

function headOf(request: XMLHttpRequest): Response {
  const id = request.getResponseHeader('x-request-id')
  return new Response(null, { status: request.status, statusText: request.statusText, headers: id === null ? {} : { 'x-request-id': id } })
}

function bodyOf(request: XMLHttpRequest): unknown {
  try {
    return JSON.parse(request.responseText)
  } catch {
    return null
  }
}
