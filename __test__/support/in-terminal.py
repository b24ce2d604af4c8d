"""Runs a command in a terminal of its own, of COLUMNS_OF_TERMINAL or 80 columns, and copies what the terminal shows to standard output."""

import fcntl
import os
import pty
import struct
import sys
import termios

# This is the terminal of a person. Under CI, Node.js takes it for a log, without colours.
os.environ.pop("CI", None)
pid, terminal = pty.fork()
if pid == 0:
    columns = int(os.environ.get("COLUMNS_OF_TERMINAL", "80"))
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
