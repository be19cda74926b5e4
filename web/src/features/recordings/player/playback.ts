/** Plays a recording: knows when what is to be shown, and no screen. */
import { ref, type Ref } from 'vue'

import { timesOf, type Cast, type CastEvent } from './cast'

/** What is due is shown this often. */
const TICK_MS = 40

export const SPEEDS = [1, 2, 4] as const
export type Speed = (typeof SPEEDS)[number]

export interface Stage {
  /** An empty screen of this size. */
  clear: (columns: number, rows: number) => void
  show: (event: CastEvent) => void
}

export class Playback {
  readonly isPlaying: Ref<boolean> = ref(false)
  /** Where it is, in seconds of what is played. */
  readonly position: Ref<number> = ref(0)
  readonly total: Ref<number> = ref(0)
  readonly speed: Ref<Speed> = ref(1)
  private times: number[] = []
  /** The first event that was not shown yet. */
  private next = 0
  private timer: ReturnType<typeof setInterval> | undefined
  private looked = 0

  constructor(
    private readonly cast: Cast,
    private readonly stage: Stage,
    shortened: boolean,
  ) {
    this.lay(shortened)
    this.begin()
  }

  play() {
    if (this.isPlaying.value) return
    if (this.position.value >= this.total.value) this.begin()
    this.isPlaying.value = true
    this.looked = performance.now()
    this.timer = setInterval(() => {
      this.tick()
    }, TICK_MS)
  }

  pause() {
    clearInterval(this.timer)
    this.isPlaying.value = false
  }

  toggle() {
    if (this.isPlaying.value) this.pause()
    else this.play()
  }

  /** Goes to a moment: forward by showing what lies between, back from the beginning. */
  seek(seconds: number) {
    const to = Math.min(Math.max(0, seconds), this.total.value)
    if (to < this.position.value) this.begin()
    this.position.value = to
    this.showDue()
  }

  /** Shortens pauses or does not, and stays at what is shown. */
  shorten(shortened: boolean) {
    this.lay(shortened)
    this.position.value = this.next === 0 ? 0 : (this.times[this.next - 1] ?? 0)
  }

  private lay(shortened: boolean) {
    const { times, total } = timesOf(this.cast, shortened)
    this.times = times
    this.total.value = total
  }

  private begin() {
    this.next = 0
    this.position.value = 0
    this.stage.clear(this.cast.columns, this.cast.rows)
    this.showDue()
  }

  private tick() {
    const now = performance.now()
    this.position.value = Math.min(this.total.value, this.position.value + ((now - this.looked) / 1000) * this.speed.value)
    this.looked = now
    this.showDue()
    if (this.position.value >= this.total.value) this.pause()
  }

  private showDue() {
    for (let event = this.cast.events[this.next]; event && (this.times[this.next] ?? 0) <= this.position.value; event = this.cast.events[this.next]) {
      this.stage.show(event)
      this.next += 1
    }
  }
}
