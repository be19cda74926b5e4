/** The editor of texts: CodeMirror, its languages and its looks. It is large, so only what is loaded with a text imports
 *  this. */
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { bracketMatching, HighlightStyle, indentOnInput, StreamLanguage, syntaxHighlighting, type StreamParser } from '@codemirror/language'
import { css } from '@codemirror/legacy-modes/mode/css'
import { dockerFile } from '@codemirror/legacy-modes/mode/dockerfile'
import { javascript, json, typescript } from '@codemirror/legacy-modes/mode/javascript'
import { nginx } from '@codemirror/legacy-modes/mode/nginx'
import { properties } from '@codemirror/legacy-modes/mode/properties'
import { python } from '@codemirror/legacy-modes/mode/python'
import { shell } from '@codemirror/legacy-modes/mode/shell'
import { standardSQL } from '@codemirror/legacy-modes/mode/sql'
import { toml } from '@codemirror/legacy-modes/mode/toml'
import { html, xml } from '@codemirror/legacy-modes/mode/xml'
import { yaml } from '@codemirror/legacy-modes/mode/yaml'
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search'
import { EditorState } from '@codemirror/state'
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view'
import { tags } from '@lezer/highlight'

/** By the end of a name. */
const BY_ENDING: Record<string, StreamParser<unknown>> = {
  css,
  cjs: javascript,
  js: javascript,
  mjs: javascript,
  ts: typescript,
  json,
  html,
  htm: html,
  xml,
  svg: xml,
  yaml,
  yml: yaml,
  toml,
  py: python,
  sh: shell,
  bash: shell,
  sql: standardSQL,
  conf: nginx,
  cfg: properties,
  env: properties,
  ini: properties,
  properties,
  service: properties,
}
const BY_NAME: Record<string, StreamParser<unknown>> = { Dockerfile: dockerFile, Containerfile: dockerFile, '.profile': shell, '.bashrc': shell, '.env': properties }

/** The colours of the console, each with its light and its dark half. */
const COLOURS = HighlightStyle.define([
  { tag: tags.comment, color: 'var(--color-faint)', fontStyle: 'italic' },
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: 'var(--color-grape)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--color-good)' },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: 'var(--color-warn)' },
  { tag: [tags.propertyName, tags.attributeName, tags.tagName, tags.heading], color: 'var(--color-note)' },
  { tag: [tags.definition(tags.variableName), tags.function(tags.variableName), tags.typeName], color: 'var(--color-accent)' },
  { tag: tags.invalid, color: 'var(--color-bad)' },
])

const LOOKS = EditorView.theme({
  '&': { height: '100%', color: 'var(--color-ink)', backgroundColor: 'var(--color-surface)', fontSize: '13px' },
  '&.cm-focused': { outline: '2px solid var(--color-accent)', outlineOffset: '-2px' },
  '.cm-scroller': { fontFamily: 'var(--font-mono)', lineHeight: '1.5' },
  '.cm-content': { caretColor: 'var(--color-ink)' },
  '.cm-cursor': { borderLeftColor: 'var(--color-ink)' },
  '.cm-gutters': { color: 'var(--color-faint)', backgroundColor: 'var(--color-surface)', borderRight: '1px solid var(--color-line)' },
  '.cm-activeLine': { backgroundColor: 'transparent', boxShadow: 'inset 2px 0 var(--color-accent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--color-accent-soft)' },
  '.cm-selectionMatch, .cm-searchMatch': { backgroundColor: 'var(--color-warn-soft)' },
  '.cm-panels': { color: 'var(--color-ink)', backgroundColor: 'var(--color-sunken)', borderColor: 'var(--color-line)' },
})

export interface EditorOptions {
  text: string
  name: string
  label: string
  changed: () => void
  saved: () => void
}

/** Makes an editor in `host`, which is on the page. It lives in a shadow tree: only there does it bring its styles in
 *  the way that the Content-Security-Policy allows. */
export function createEditor(host: HTMLElement, { text, name, label, changed, saved }: EditorOptions) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' })
  const language = BY_NAME[name] ?? BY_ENDING[name.slice(name.lastIndexOf('.') + 1).toLowerCase()]
  const save = () => {
    saved()
    return true
  }
  const state = EditorState.create({
    doc: text,
    extensions: [
      lineNumbers(),
      history(),
      drawSelection(),
      indentOnInput(),
      bracketMatching(),
      highlightActiveLine(),
      highlightSelectionMatches(),
      search({ top: true }),
      keymap.of([{ key: 'Mod-s', run: save, preventDefault: true }, ...defaultKeymap, ...historyKeymap, ...searchKeymap]),
      ...(language ? [StreamLanguage.define(language)] : []),
      syntaxHighlighting(COLOURS),
      LOOKS,
      EditorState.lineSeparator.of(text.includes('\r\n') ? '\r\n' : '\n'),
      EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'false' }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) changed()
      }),
    ],
  })
  const view = new EditorView({ state, parent: root, root })
  return {
    text: () => view.state.sliceDoc(),
    focus: () => {
      view.focus()
    },
    dispose: () => {
      view.destroy()
    },
  }
}
