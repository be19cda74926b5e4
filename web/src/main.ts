import './styles.css'

import { VueQueryPlugin } from '@tanstack/vue-query'
import { createApp } from 'vue'

import { listenForRenewals, onConfirmationRequired } from '@/api/patience/confirmation'
import { onSlowed } from '@/api/patience/patience'
import { createQueries } from '@/api/queries'
import { askToConfirm } from '@/features/identity/confirmation/asking'
import { createConsoleRouter } from '@/router'
import { createLive, liveKey } from '@/shared/lib/liveUpdates'
import { applyTheme } from '@/shared/lib/theme'
import { tell } from '@/shared/lib/toasts'

import App from './App.vue'
import { i18n, startLanguage } from './locales/i18n'

applyTheme()

const queries = createQueries(
  () => {
    void router.leave()
  },
  () => {
    void router.setUpFactor()
  },
)
const live = createLive(queries)
const router = createConsoleRouter(queries, live)

await startLanguage()
onConfirmationRequired(askToConfirm)
listenForRenewals()
onSlowed((seconds) => {
  tell(i18n.global.t('programs.slowed', { seconds }))
})

createApp(App).use(i18n).use(VueQueryPlugin, { queryClient: queries }).use(router.router).provide(liveKey, live).mount('#app')
