/** The screen on which a recording is played: xterm.js, of the recording's own size. It is large, so only the player,
 *  which is loaded by itself, imports this. */
import '@xterm/xterm/css/xterm.css'

import { Terminal } from '@xterm/xterm'

import { FONT, SCROLLBACK_LINES, THEME } from '@/features/workloads/terminals/looks'
import { withStrictStyles } from '@/features/workloads/terminals/strictStyles'

import type { Stage } from './playback'

const FONT_SIZE = { most: 13, least: 6 }
/** How wide a letter is, of its size. */
const LETTER = 0.61

/** Makes the screen in `host`, which is on the page, with letters that let whole lines be seen. */
export function createStage(host: HTMLElement, label: string): Stage & { dispose: () => void } {
  const terminal = new Terminal({
    theme: THEME,
    fontFamily: FONT,
    fontSize: FONT_SIZE.most,
    lineHeight: 1.15,
    scrollback: SCROLLBACK_LINES,
    cursorBlink: false,
    disableStdin: true,
    minimumContrastRatio: 4.5,
  })
  const releaseStyles = withStrictStyles(() => {
    terminal.open(host)
  })
  terminal.textarea?.setAttribute('aria-label', label)
  // The keys are the player's.
  terminal.attachCustomKeyEventHandler(() => false)

  function fit() {
    const size = Math.floor(host.clientWidth / (terminal.cols * LETTER))
    terminal.options.fontSize = Math.min(FONT_SIZE.most, Math.max(FONT_SIZE.least, size))
  }
  const observer = new ResizeObserver(fit)
  observer.observe(host)

  function resize(columns: number, rows: number) {
    terminal.resize(columns, rows)
    fit()
  }

  return {
    clear: (columns, rows) => {
      // In its turn: what is still being written must not come after it.
      terminal.write('\x1bc', () => {
        resize(columns, rows)
      })
    },
    show: (event) => {
      if (event.kind === 'output') terminal.write(event.text)
      // What came before is shown at its size.
      else if (event.kind === 'resize') {
        const { columns, rows } = event
        terminal.write('', () => {
          resize(columns, rows)
        })
      } else terminal.write(`\r\n\x1b[0;2m${event.text}\x1b[0m\r\n`)
    },
    dispose: () => {
      observer.disconnect()
      terminal.dispose()
      releaseStyles()
    },
  }
}
