/** Languages. Each is a file of its own, loaded when it is first needed. */
import { createI18n } from 'vue-i18n'

export const LANGUAGES = ['en', 'fr'] as const
export type Language = (typeof LANGUAGES)[number]

const STORED = 'windflow.language'

export const i18n = createI18n({
  legacy: false,
  locale: 'en',
  missingWarn: false,
  fallbackWarn: false,
  pluralRules: {
    // Zero is singular in French, unless it has a form of its own.
    fr: (count: number, choices: number) => (choices > 2 ? Math.min(count, 2) : Number(count >= 2)),
  },
})

const files: Record<Language, () => Promise<{ default: Record<string, unknown> }>> = {
  en: () => import('./en.json'),
  fr: () => import('./fr.json'),
}

/** Shows the console in this language, now and the next time. */
export async function setLanguage(language: Language): Promise<void> {
  await show(language)
  try {
    localStorage.setItem(STORED, language)
  } catch {
    // A browser without storage forgets it with the page.
  }
}

/** Shows it in the language chosen before, or else the browser's. */
export async function startLanguage(): Promise<void> {
  await show(preferred())
}

async function show(language: Language): Promise<void> {
  const file = await files[language]()
  i18n.global.setLocaleMessage(language, file.default)
  i18n.global.locale.value = language
  document.documentElement.lang = language
}

function preferred(): Language {
  const asked = [stored(), ...navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase())]
  return asked.map(known).find((language) => language !== null) ?? 'en'
}

function stored(): string {
  try {
    return localStorage.getItem(STORED) ?? ''
  } catch {
    return ''
  }
}

function known(tag: string): Language | null {
  return LANGUAGES.find((language) => language === tag) ?? null
}
