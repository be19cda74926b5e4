/** A document for a program that styles its elements inline, under a Content-Security-Policy that refuses it. What it
 *  writes into style elements becomes a style sheet of the page, what it writes into style attributes goes the way that
 *  scripts may go. */

/** The document to hand to such a program, and the end of its styles. */
export function strictDocument(real: Document): { document: Document; release: () => void } {
  const releases: (() => void)[] = []
  const create = (name: string) => {
    const element = real.createElement(name)
    if (element instanceof HTMLStyleElement) releases.push(adopt(real, element))
    else if (element instanceof HTMLSpanElement) element.setAttribute = setAttribute
    return element
  }
  const document = new Proxy(real, {
    get(target, key) {
      if (key === 'createElement') return create
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  return {
    document,
    release: () => {
      for (const release of releases) release()
    },
  }
}

/** Makes the element's text a style sheet of the page, whenever it changes. */
function adopt(real: Document, element: HTMLStyleElement): () => void {
  // A browser leaves a style element alone whose type it does not know.
  element.type = 'text/adopted'
  const sheet = new CSSStyleSheet()
  real.adoptedStyleSheets = [...real.adoptedStyleSheets, sheet]
  const observer = new MutationObserver(() => {
    sheet.replaceSync(element.textContent)
  })
  observer.observe(element, { childList: true, characterData: true, subtree: true })
  return () => {
    observer.disconnect()
    real.adoptedStyleSheets = real.adoptedStyleSheets.filter((other) => other !== sheet)
  }
}

function setAttribute(this: HTMLElement, name: string, value: string) {
  if (name === 'style') this.style.cssText = value
  else Element.prototype.setAttribute.call(this, name, value)
}
