'use strict'

// Loaded first by a Node.js in an emulator. The system cannot start such a Node.js by itself, so what starts another
// one has to start the emulator.

process.execPath = process.env.EMULATED_NODE ?? process.execPath
