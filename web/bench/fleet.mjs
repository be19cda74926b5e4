// A simulated hub with as many environments as are asked for: it answers what
// the console asks on its list of environments, and says on the live channel
// that something changed. Nothing here is measured.
import { existsSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ORIGIN = 'http://localhost:8443'

const DIST = fileURLToPath(new URL('../dist/', import.meta.url))
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' }
const SITES = ['fra', 'ams', 'sin', 'nyc', 'par', 'gru']
const ROLES = ['web', 'db', 'cache', 'edge', 'queue']
const PERMISSIONS = ['environments.view', 'metrics.view']
/** As many moments as the hub gives of 30 days. */
const MOMENTS = 1_440
const STATES = ['online', 'online', 'online', 'online', 'online', 'online', 'offline', 'pending', 'quarantined', 'revoked']

/** Puts the simulated hub in the place of the network. Resolves to what the page loaded, and how to say that things changed. */
export async function simulate(page, count) {
  const fleet = Array.from({ length: count }, (_, number) => environment(number))
  const loaded = new Set()
  let live = null
  await page.route('**/*', (route) => {
    const url = new URL(route.request().url())
    if (url.pathname.startsWith('/api/')) return route.fulfill({ json: answer(url, fleet) })
    const path = join(DIST, url.pathname)
    const file = url.pathname !== '/' && existsSync(path) ? path : join(DIST, 'index.html')
    loaded.add(file)
    return route.fulfill({ body: readFileSync(file), contentType: TYPES[extname(file)] ?? 'application/octet-stream' })
  })
  await page.routeWebSocket('**/api/v1/live', (socket) => {
    live = socket
    socket.onMessage(() => {
      socket.send(JSON.stringify({ kind: 'ping' }))
    })
  })
  let number = 0
  const change = (index) => {
    const one = fleet[index]
    one.rtt_ms = 1 + ((number * 7) % 90)
    number += 1
    live?.send(JSON.stringify({ kind: 'environment', id: number, environment_id: one.id, action: 'changed' }))
  }
  return { loaded, change }
}

function answer(url, fleet) {
  const [, id, part] = /^\/api\/v1\/environments\/([^/]+)(\/metrics)?$/.exec(url.pathname) ?? []
  if (part) return history(new Date(url.searchParams.get('from')) / 1_000, new Date(url.searchParams.get('to')) / 1_000)
  if (id) return { ...fleet.find((one) => one.id === id), permissions: PERMISSIONS }
  switch (url.pathname) {
    case '/api/v1/me':
      return { kind: 'user', id: '00000000-0000-4000-8000-000000000001', name: 'ada', role: 'administrator', permissions: PERMISSIONS, permissions_somewhere: PERMISSIONS, credential: 'session:1' }
    case '/api/v1/setup':
      return { needed: false }
    case '/api/v1/environments':
      return pageOf(fleet, url.searchParams)
    case '/api/v1/overview':
      return overviewOf(wanted(fleet, url.searchParams))
    default:
      return { items: [], total: 0 }
  }
}

/** What a host measured in a time, each value with its own noise. */
function history(from, to) {
  const step = Math.max(15, Math.ceil((to - from) / MOMENTS / 15) * 15)
  const times = Array.from({ length: Math.floor((to - from) / step) }, (_, index) => Math.floor(from) + index * step)
  const noise = (least, most) => times.map((_, index) => least + (most - least) * (0.5 + 0.4 * Math.sin(index / 40) + 0.1 * Math.random()))
  const one = (name, least, most) => ({ name, mean: noise(least, most) })
  const series = [
    one('cpu_percent', 0, 100),
    one('memory_bytes', 1e9, 4e9),
    { name: 'memory_total_bytes', mean: times.map(() => 8e9) },
    ...['load_1', 'load_5', 'load_15'].map((name) => one(name, 0, 4)),
    one('network_received_bytes', 0, 1e7),
    one('network_sent_bytes', 0, 1e7),
    one('disk_read_bytes', 0, 1e8),
    one('disk_written_bytes', 0, 1e8),
    one('swap_bytes', 0, 1e9),
  ]
  return { step_seconds: step, times, series }
}

function wanted(fleet, query) {
  const search = (query.get('search') ?? '').toLowerCase()
  const fits = (one) =>
    one.name.includes(search) && [one.state, null].includes(query.get('state')) && [one.kind, null].includes(query.get('kind'))
  return fleet.filter(fits)
}

function pageOf(fleet, query) {
  const found = wanted(fleet, query)
  if (query.get('sort') === 'group') found.sort((one, other) => SITES.indexOf(one.group.name) - SITES.indexOf(other.group.name))
  const offset = Number(query.get('offset') ?? 0)
  return { items: found.slice(offset, offset + Number(query.get('limit') ?? 50)), total: found.length }
}

function overviewOf(found) {
  const groups = SITES.map((name, id) => ({ group: { id: String(id), name }, ...countsOf(found.filter((one) => one.group.name === name)) }))
  return { ...countsOf(found), groups: groups.filter(({ environments }) => environments.total > 0) }
}

function countsOf(found) {
  const environments = { online: 0, degraded: 0, alerting: 0, offline: 0, pending: 0, quarantined: 0, revoked: 0, total: found.length }
  const containers = { running: 0, paused: 0, restarting: 0, stopped: 0, unhealthy: 0, total: 0 }
  for (const one of found) {
    environments[one.engine === 'absent' ? 'degraded' : one.state] += 1
    environments.alerting += one.alerts.length > 0 ? 1 : 0
    for (const state of Object.keys(containers)) containers[state] += one.container_states?.[state] ?? 0
  }
  return { environments, containers }
}

function environment(number) {
  const state = STATES[number % STATES.length]
  const isOnline = state === 'online'
  return {
    id: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
    name: `${SITES[number % SITES.length]}-${ROLES[number % ROLES.length]}-${String(number).padStart(4, '0')}`,
    kind: number % 50 === 49 ? 'tcp' : 'edge',
    state,
    transport: isOnline ? (number % 3 === 0 ? 'quic' : 'websocket') : null,
    rtt_ms: isOnline ? 1 + (number % 90) : null,
    engine: isOnline ? (number % 40 === 5 ? 'absent' : 'running') : null,
    engine_version: number % 4 === 0 ? '20.10.24' : '26.1.5',
    agent_version: '0.1.0',
    os: isOnline ? 'linux' : null,
    arch: isOnline ? 'amd64' : null,
    group: { id: String(number % SITES.length), name: SITES[number % SITES.length] },
    containers: isOnline ? { running: number % 23, total: (number % 23) + 2 } : null,
    container_states: { running: number % 23, paused: 0, restarting: 0, stopped: 2, unhealthy: number % 7 === 3 ? 1 : 0, total: (number % 23) + 2 },
    alerts: isOnline && number % 7 === 3 ? [{ kind: 'unhealthy', containers: 1 }] : [],
    insecure: false,
    labels: number % 3 === 0 ? { site: SITES[number % SITES.length], rack: String(number % 40) } : {},
    last_seen: new Date(Date.now() - number * 60_000).toISOString(),
  }
}
