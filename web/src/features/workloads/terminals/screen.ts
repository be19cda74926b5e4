/** The screen of one terminal: xterm.js, its looks and its keys. It is large, so only what is loaded with a terminal
 *  imports this. */
import '@xterm/xterm/css/xterm.css'

import { FitAddon } from '@xterm/addon-fit'
import { SearchAddon } from '@xterm/addon-search'
import { WebLinksAddon } from '@xterm/addon-web-links'
import { Terminal } from '@xterm/xterm'

import { FONT, SCROLLBACK_LINES, THEME } from './looks'
import { withStrictStyles } from './strictStyles'

export interface ScreenEvents {
  typed: (bytes: Uint8Array) => void
  resized: (columns: number, rows: number) => void
  copied: (text: string) => void
  /** The keys that leave the terminal, since Tab is typed into it. */
  left: () => void
  searched: () => void
}

export interface ScreenOptions {
  /** Lines end as in a file: there is no terminal at the other end. */
  isPlain: boolean
  takesInput: boolean
  readAloud: boolean
  label: string
}

export type Screen = ReturnType<typeof createScreen>

/** Makes the screen in `host`, which is on the page. */
export function createScreen(host: HTMLElement, options: ScreenOptions, events: ScreenEvents) {
  const terminal = new Terminal({
    theme: THEME,
    fontFamily: FONT,
    fontSize: 13,
    lineHeight: 1.15,
    scrollback: SCROLLBACK_LINES,
    cursorBlink: false,
    convertEol: options.isPlain,
    disableStdin: !options.takesInput,
    minimumContrastRatio: 4.5,
    screenReaderMode: options.readAloud,
    linkHandler: { activate: (_event, link) => { follow(link) } },
    // What the addons need to mark what was found.
    allowProposedApi: true,
  })
  const fit = new FitAddon()
  const search = new SearchAddon()
  for (const addon of [fit, search, new WebLinksAddon((_event, link) => { follow(link) })]) terminal.loadAddon(addon)
  const encoder = new TextEncoder()
  terminal.onData((text) => {
    events.typed(encoder.encode(text))
  })
  // Mouse reports of old programs: each letter is one byte.
  terminal.onBinary((text) => {
    events.typed(Uint8Array.from(text, (letter) => letter.charCodeAt(0)))
  })
  terminal.onResize(({ cols, rows }) => {
    events.resized(cols, rows)
  })
  terminal.attachCustomKeyEventHandler((event) => takesKey(event, terminal, events))
  const releaseStyles = withStrictStyles(() => {
    terminal.open(host)
  })
  terminal.textarea?.setAttribute('aria-label', options.label)
  // The size of a folded or hidden terminal is none.
  const fitNow = () => {
    if (host.clientWidth > 0 && host.clientHeight > 0) fit.fit()
  }
  const observer = new ResizeObserver(fitNow)
  observer.observe(host)

  return {
    terminal,
    search,
    show: (bytes: Uint8Array, done: () => void) => {
      terminal.write(bytes, done)
    },
    note: (text: string) => {
      terminal.write(`\r\n\x1b[0;2m${text}\x1b[0m\r\n`)
    },
    dispose: () => {
      observer.disconnect()
      terminal.dispose()
      releaseStyles()
    },
  }
}

/** Whether the terminal takes this key; the others are the page's or the browser's. */
function takesKey(event: KeyboardEvent, terminal: Terminal, events: ScreenEvents): boolean {
  if (event.key === 'F6' && event.ctrlKey) return act(event, events.left)
  if (!event.ctrlKey || !event.shiftKey) return true
  if (event.code === 'KeyC') {
    return act(event, () => {
      if (terminal.hasSelection()) events.copied(terminal.getSelection())
    })
  }
  if (event.code === 'KeyF') return act(event, events.searched)
  // The browser pastes by itself.
  return event.code !== 'KeyV'
}

function act(event: KeyboardEvent, action: () => void): boolean {
  event.preventDefault()
  if (event.type === 'keydown') action()
  return false
}

function follow(link: string) {
  if (/^https?:\/\//.test(link)) window.open(link, '_blank', 'noopener,noreferrer')
}
