'use strict'

// Audits the workflows of .github with zizmor, from PyPI. With a token of GitHub in GH_TOKEN it also asks
// GitHub about the actions that they use.

const { spawnSync } = require('node:child_process')
const { join } = require('node:path')
const { installPython } = require('./install.js')

const root = join(__dirname, '..')
const venv = join(root, '.package', 'zizmor')

if (!installPython('python3', venv, 'zizmor==1.32.0')) process.exit(1)
const args = ['--no-progress', '--persona=auditor', ...(process.env.GH_TOKEN ? [] : ['--offline']), '.github']
const { status } = spawnSync(join(venv, 'bin', 'zizmor'), args, { cwd: root, stdio: 'inherit' })
process.exitCode = status ?? 1
