/** Light or dark: the system's choice unless the user made one in this browser. */
import { readonly, ref } from 'vue'

export type Theme = 'system' | 'light' | 'dark'

const STORED = 'windflow.theme'

const chosen = ref<Theme>(read())

export const theme = readonly(chosen)

export function setTheme(next: Theme) {
  chosen.value = next
  try {
    localStorage.setItem(STORED, next)
  } catch {
    // A browser without storage forgets it with the page.
  }
  applyTheme()
}

export function applyTheme() {
  if (chosen.value === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = chosen.value
}

function read(): Theme {
  try {
    const stored = localStorage.getItem(STORED)
    return stored === 'light' || stored === 'dark' ? stored : 'system'
  } catch {
    return 'system'
  }
}
