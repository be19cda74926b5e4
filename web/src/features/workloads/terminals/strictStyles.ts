/** Lets xterm.js style its elements under a Content-Security-Policy that refuses inline styles: what it writes into
 *  style elements becomes a style sheet of the page, what it writes into style attributes goes the way that scripts may
 *  go. Both are what the policy allows by other means; nothing is loosened. */

/** Runs `begin`, during which style elements are made. Gives what takes their styles away again. */
export function withStrictStyles(begin: () => void): () => void {
  dressSpans()
  const releases: (() => void)[] = []
  const createElement = (name: string) => {
    // A browser complains of each style element, whatever its type; a template shows nothing, either.
    const element = Document.prototype.createElement.call(document, name === 'style' ? 'template' : name)
    if (element instanceof HTMLTemplateElement) releases.push(adopt(element))
    return element
  }
  Object.defineProperty(document, 'createElement', { value: createElement, configurable: true })
  try {
    begin()
  } finally {
    Reflect.deleteProperty(document, 'createElement')
  }
  return () => {
    for (const release of releases) release()
  }
}

/** Makes the element's text a style sheet of the page, whenever it changes. */
function adopt(element: HTMLTemplateElement): () => void {
  const sheet = new CSSStyleSheet()
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet]
  const observer = new MutationObserver(() => {
    sheet.replaceSync(element.textContent)
  })
  observer.observe(element, { childList: true, characterData: true, subtree: true })
  return () => {
    observer.disconnect()
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet)
  }
}

/** Its cells are spans, of which it makes many thousands: they all learn it once. */
function dressSpans() {
  if (Object.hasOwn(HTMLSpanElement.prototype, 'setAttribute')) return
  HTMLSpanElement.prototype.setAttribute = function setAttribute(name, value) {
    if (name === 'style') this.style.cssText = value
    else Element.prototype.setAttribute.call(this, name, value)
  }
}
