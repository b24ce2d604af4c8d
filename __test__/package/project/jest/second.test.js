'use strict'

// Jest starts no workers for a single file.
require('./first.test.js')
