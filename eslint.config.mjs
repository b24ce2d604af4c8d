import js from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  {
    ignores: [
      'index.d.ts',
      // The beginning of index.d.ts.
      'src/javascript/error.d.ts',
      'target/',
      'node_modules/',
      'demo/',
      'dist/',
      '.e2e/',
      '.package/',
      '.platforms/',
      '**/node_modules/',
    ],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { varsIgnorePattern: '^_', argsIgnorePattern: '^_' }],
      // Numbers in template strings are what tests name their folders with.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // What a homeserver answers has the type that its caller says.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      // A test that finds undefined fails there and then, and says where.
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { globals: { console: 'readonly', process: 'readonly' } },
  },
  {
    files: ['**/*.js'],
    languageOptions: {
      sourceType: 'commonjs',
      globals: {
        AbortController: 'readonly',
        __dirname: 'readonly',
        fetch: 'readonly',
        URLSearchParams: 'readonly',
        module: 'writable',
        performance: 'readonly',
        require: 'readonly',
        setTimeout: 'readonly',
      },
    },
  },
)
