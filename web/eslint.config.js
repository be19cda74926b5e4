import js from '@eslint/js'
import vue from 'eslint-plugin-vue'
import globals from 'globals'
import typescript from 'typescript-eslint'

export default typescript.config(
  { ignores: ['dist/', 'node_modules/', 'src/api/schema.ts', 'playwright-report/', 'test-results/'] },
  js.configs.recommended,
  typescript.configs.strict,
  typescript.configs.stylistic,
  vue.configs['flat/recommended'],
  {
    languageOptions: { globals: { ...globals.browser, ...globals.node } },
  },
  {
    files: ['**/*.vue'],
    languageOptions: { parserOptions: { parser: typescript.parser } },
    rules: {
      // The Content-Security-Policy refuses both, and neither is needed.
      'vue/no-v-html': 'error',
      'vue/no-restricted-static-attribute': ['error', { key: 'style', message: 'The Content-Security-Policy refuses it.' }],
      'vue/block-order': ['error', { order: ['script', 'template', 'style'] }],
      'vue/block-lang': ['error', { script: { lang: 'ts' } }],
      'vue/component-api-style': ['error', ['script-setup']],
      'vue/define-macros-order': ['error', { order: ['defineProps', 'defineModel', 'defineEmits'] }],
      'vue/html-button-has-type': 'error',
      'vue/no-undef-components': ['error', { ignorePatterns: ['RouterLink', 'RouterView', 'i18n-t'] }],
      'vue/max-attributes-per-line': 'off',
      'vue/singleline-html-element-content-newline': 'off',
      'vue/html-self-closing': ['error', { html: { void: 'always' } }],
      'vue/require-default-prop': 'off',
      'vue/multi-word-component-names': 'off',
    },
  },
  {
    rules: {
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-console': 'error',
      'max-lines': ['error', 400],
      'max-lines-per-function': ['error', { max: 80, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/no-non-null-assertion': 'error',
      'no-restricted-globals': ['error', { name: 'fetch', message: 'Use the typed client in src/api/client.ts.' }],
      'no-undef': 'off',
    },
  },
  {
    files: ['bench/**', 'scripts/**', 'e2e/**', '**/*.test.ts'],
    rules: { 'no-console': 'off', 'max-lines-per-function': 'off', 'no-restricted-globals': 'off' },
  },
)
