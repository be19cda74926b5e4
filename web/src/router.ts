/** Every page of the console, and who may see it. */
import type { QueryClient } from '@tanstack/vue-query'
import { createRouter, createWebHistory, type RouteLocationNormalized, type Router, type RouteRecordRaw } from 'vue-router'

import type { Live } from '@/api/channels/live'
import { loadMe, loadSetup } from '@/features/identity/composables/session'
import { KINDS } from '@/features/resources/kinds'

declare module 'vue-router' {
  interface RouteMeta {
    /** The key of the page's title. */
    title: string
    /** Shown without a session that may do more, in the plain frame. */
    plain?: boolean
  }
}

const routes: RouteRecordRaw[] = [
  // Without a session
  { path: '/setup', name: 'setup', component: () => import('@/features/identity/pages/SetupPage.vue'), meta: { title: 'setup.title', plain: true } },
  { path: '/sign-in', name: 'sign-in', component: () => import('@/features/identity/pages/SignInPage.vue'), meta: { title: 'signIn.title', plain: true } },
  { path: '/forgot-password', name: 'forgot-password', component: () => import('@/features/identity/pages/ForgotPasswordPage.vue'), meta: { title: 'mail.reset.heading', plain: true } },
  { path: '/password-reset', name: 'password-reset', component: () => import('@/features/identity/pages/NewPasswordPage.vue'), meta: { title: 'mail.reset.choose', plain: true } },
  { path: '/verify-email', name: 'verify-email', component: () => import('@/features/identity/pages/VerifyEmailPage.vue'), meta: { title: 'mail.verify.heading', plain: true } },
  { path: '/invitation', name: 'invitation', component: () => import('@/features/identity/pages/InvitationPage.vue'), meta: { title: 'mail.accept.heading', plain: true } },
  { path: '/register', name: 'register', component: () => import('@/features/identity/pages/RegisterPage.vue'), meta: { title: 'mail.register.heading', plain: true } },
  // With a session that may do nothing else yet
  { path: '/second-factor', name: 'second-factor', component: () => import('@/features/identity/pages/SecondFactorPage.vue'), meta: { title: 'secondFactor.heading', plain: true } },
  // Fleet
  { path: '/', alias: '/environments', name: 'environments', component: () => import('@/features/fleet/pages/DashboardPage.vue'), meta: { title: 'dashboard.title' } },
  { path: '/environments/add', name: 'add-environment', component: () => import('@/features/fleet/pages/AddEnvironmentPage.vue'), meta: { title: 'add.title' } },
  { path: '/environments/add/edge', name: 'add-edge', component: () => import('@/features/fleet/pages/AddEdgePage.vue'), meta: { title: 'edge.title' } },
  { path: '/environments/add/tcp', name: 'add-tcp', component: () => import('@/features/fleet/pages/AddTcpPage.vue'), meta: { title: 'tcp.title' } },
  { path: '/environments/:id', name: 'environment', component: () => import('@/features/fleet/pages/EnvironmentPage.vue'), props: true, meta: { title: 'environment.title' } },
  { path: '/enrollment-tokens', name: 'enrollment-tokens', component: () => import('@/features/fleet/pages/EnrollmentTokensPage.vue'), meta: { title: 'tokens.title' } },
  // Workloads
  { path: '/containers', name: 'containers', component: () => import('@/features/workloads/pages/ContainersPage.vue'), meta: { title: 'containers.heading' } },
  { path: '/environments/:id/new-container', name: 'new-container', component: () => import('@/features/workloads/making/pages/NewContainerPage.vue'), props: true, meta: { title: 'making.new' } },
  { path: '/environments/:id/containers/:container/edit', name: 'edit-container', component: () => import('@/features/workloads/making/pages/EditContainerPage.vue'), props: true, meta: { title: 'making.editTitle' } },
  { path: '/environments/:id/containers/:container', name: 'container', component: () => import('@/features/workloads/pages/ContainerPage.vue'), props: true, meta: { title: 'container.title' } },
  ...KINDS.map((kind) => ({ path: `/${kind}`, name: kind, component: () => import('@/features/resources/ResourcesPage.vue'), props: { kind }, meta: { title: `resources.${kind}.heading` } })),
  { path: '/logs', name: 'logs', component: () => import('@/features/workloads/logs/pages/LogsPage.vue'), meta: { title: 'logs.title' } },
  // Jobs
  { path: '/jobs', name: 'jobs', component: () => import('@/features/jobs/pages/JobsPage.vue'), meta: { title: 'jobs.title' } },
  { path: '/jobs/:id', name: 'job', component: () => import('@/features/jobs/pages/JobPage.vue'), props: true, meta: { title: 'jobs.one' } },
  // Activity
  { path: '/activity', name: 'activity', component: () => import('@/features/activity/pages/ActivityPage.vue'), meta: { title: 'activity.title' } },
  // Audit
  { path: '/audit', name: 'audit', component: () => import('@/features/audit/pages/AuditPage.vue'), meta: { title: 'audit.title' } },
  { path: '/keys', name: 'keys', component: () => import('@/features/audit/pages/KeysPage.vue'), meta: { title: 'keys.title' } },
  // Recordings
  { path: '/recordings', name: 'recordings', component: () => import('@/features/recordings/pages/RecordingsPage.vue'), meta: { title: 'recordings.title' } },
  { path: '/recordings/:id', name: 'recording', component: () => import('@/features/recordings/pages/RecordingPage.vue'), props: true, meta: { title: 'recordings.one' } },
  // Identity
  { path: '/users', name: 'users', component: () => import('@/features/identity/pages/UsersPage.vue'), meta: { title: 'users.title' } },
  { path: '/access', name: 'access', component: () => import('@/features/access/pages/AccessPage.vue'), meta: { title: 'access.title' } },
  { path: '/mail', name: 'mail', component: () => import('@/features/identity/mail/MailPage.vue'), meta: { title: 'mail.title' } },
  { path: '/identity-providers', name: 'identity-providers', component: () => import('@/features/federation/pages/ProvidersPage.vue'), meta: { title: 'federation.title' } },
  { path: '/account', name: 'account', component: () => import('@/features/identity/pages/AccountPage.vue'), meta: { title: 'account.title' } },
  { path: '/:rest(.*)*', name: 'not-found', component: () => import('@/shell/NotFoundPage.vue'), meta: { title: 'notFound.title' } },
]

export interface ConsoleRouter {
  router: Router
  /** Forgets who was signed in and asks again. */
  leave: () => Promise<void>
  /** Has the user set up the second factor that is asked of them now. */
  setUpFactor: () => Promise<void>
}

export function createConsoleRouter(queries: QueryClient, live: Live): ConsoleRouter {
  const router = createRouter({
    history: createWebHistory(),
    routes,
    scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? undefined : { top: 0 }),
  })

  // Where somebody is on their way to, until they are there.
  let underway: RouteLocationNormalized | null = null
  router.beforeEach(async (to) => {
    underway = to
    return to.meta.plain ? entrance(queries, to) : inside(queries, to)
  })
  router.afterEach((to) => {
    if (underway === to) underway = null
    if (to.meta.plain) live.stop()
    else live.start()
  })

  async function leave() {
    live.stop()
    queries.clear()
    const from = router.currentRoute.value
    // Whoever signs out meanwhile is not brought back to where they were.
    if (!(underway ?? from).meta.plain) await router.push({ name: 'sign-in', query: { next: from.fullPath, ended: '1' } })
  }

  async function setUpFactor() {
    live.stop()
    queries.clear()
    const from = router.currentRoute.value
    if (!from.meta.plain) await router.push({ name: 'second-factor', query: { next: from.fullPath } })
  }

  return { router, leave, setUpFactor }
}

async function inside(queries: QueryClient, to: RouteLocationNormalized) {
  const me = await loadMe(queries)
  const query = ['/', '/environments'].includes(to.fullPath) ? {} : { next: to.fullPath }
  if (me !== null) return me.second_factor_due ? { name: 'second-factor', query } : true
  if (await loadSetup(queries)) return { name: 'setup' }
  return { name: 'sign-in', query }
}

async function entrance(queries: QueryClient, to: RouteLocationNormalized) {
  const needed = await loadSetup(queries)
  if (needed) return to.name === 'setup' || { name: 'setup' }
  if (to.name === 'second-factor') return settingUp(queries)
  return to.name === 'setup' ? { name: 'sign-in' } : true
}

/** Only those set a second factor up here who may do nothing else: others do it under their account. */
async function settingUp(queries: QueryClient) {
  const me = await loadMe(queries)
  if (me === null) return { name: 'sign-in' }
  return me.second_factor_due || { name: 'account' }
}

/** Where to go after signing in: a path of this console and nothing else. */
export function nextPath(asked: unknown): string {
  const safe = typeof asked === 'string' && asked.startsWith('/') && !/^\/[/\\]/.test(asked)
  return safe ? asked : '/'
}
