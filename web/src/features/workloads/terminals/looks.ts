/** What every terminal looks like. */
import type { ITheme } from '@xterm/xterm'

/** Lines that can be scrolled back to. */
export const SCROLLBACK_LINES = 10_000
export const FONT = '"Geist Mono Variable", ui-monospace, "Cascadia Mono", Menlo, monospace'

/** Dark in both themes, as programs in terminals choose their colours for it. */
export const THEME: ITheme = {
  background: '#0a1113',
  foreground: '#e9f0f1',
  cursor: '#56c9c5',
  cursorAccent: '#0a1113',
  selectionBackground: '#2b5b63',
  black: '#223036',
  red: '#ff9188',
  green: '#63d69d',
  yellow: '#f2bd55',
  blue: '#93c2f7',
  magenta: '#d7a5f5',
  cyan: '#56c9c5',
  white: '#cfdadd',
  brightBlack: '#8b9da2',
  brightRed: '#ffaaa3',
  brightGreen: '#8fe6bb',
  brightYellow: '#f8d68e',
  brightBlue: '#b8d8fb',
  brightMagenta: '#e6c6fa',
  brightCyan: '#7bdad6',
  brightWhite: '#ffffff',
}

/** Waits for the font, without which letters are measured wrongly. */
export async function loadFont(): Promise<void> {
  try {
    await Promise.all(['400', '700'].map((weight) => document.fonts.load(`${weight} 13px ${FONT}`)))
  } catch {
    // It is shown in the next best font.
  }
}
