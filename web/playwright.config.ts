import { join } from 'node:path'

import { defineConfig } from '@playwright/test'

import { folder, url } from './e2e/surroundings'

// One walk through the console: each file goes on where the one before ended,
// against the hub that `tests/tests/scenarios/acceptance/console.rs` started.
export default defineConfig({
  testDir: process.env.WINDFLOW_E2E_SPECS ?? 'e2e',
  // They are walks of their own.
  testIgnore: process.env.WINDFLOW_E2E_SPECS ? [] : ['e2e/confirmation/**', 'e2e/federation/**'],
  outputDir: join(folder, 'results'),
  workers: 1,
  fullyParallel: false,
  maxFailures: 1,
  retries: 0,
  timeout: 90_000,
  expect: { timeout: 20_000 },
  reporter: 'list',
  use: {
    baseURL: url,
    ignoreHTTPSErrors: true,
    locale: 'en-US',
    viewport: { width: 1440, height: 900 },
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
})
