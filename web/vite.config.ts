/// <reference types="vitest/config" />
import { fileURLToPath, URL } from 'node:url'

import tailwindcss from '@tailwindcss/vite'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

/** Where `npm run dev` finds a hub. */
const hub = process.env.WINDFLOW_URL ?? 'https://127.0.0.1:8443'

/** What pages are made of; what only one kind of them needs is a file of its own. */
const LIBRARIES = /node_modules\/(?!@fontsource|@xterm|@codemirror|@lezer|@marijn|crelt|style-mod|w3c-keyname|uplot|@tanstack\/(vue-)?virtual)/

export default defineConfig({
  plugins: [vue(), tailwindcss()],
  resolve: {
    alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) },
  },
  define: {
    __VUE_OPTIONS_API__: false,
    __VUE_PROD_DEVTOOLS__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __VUE_I18N_LEGACY_API__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
  },
  build: {
    outDir: 'dist',
    assetsDir: 'assets',
    manifest: true,
    // Every asset is a file of its own: the hub's Content-Security-Policy allows no font in a data: URL.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // A few files of a kind, so that the first page takes few requests and a new version changes few of them. What every
    // page needs stands apart from what only some do: what a menu or a dialog is made of comes with the first of them.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: 'base', test: LIBRARIES, tags: ['$initial'] },
            { name: 'shared', test: /src\/(api|shared)\//, tags: ['$initial'] },
            { name: 'icons', test: /node_modules\/@lucide/ },
            { name: 'parts', test: /src\/(api|shared)\/(?!ui\/overlay)/ },
            { name: 'overlays', test: /node_modules\/(reka-ui|@floating-ui|@vueuse|aria-hidden)|src\/shared\/ui\/overlay/ },
          ],
        },
      },
    },
  },
  server: {
    proxy: { '/api': { target: hub, secure: false, ws: true } },
  },
  test: {
    environment: 'node',
    include: ['src/**/*.test.ts'],
    restoreMocks: true,
  },
})
