"""Runs a program that dies with its parent; `processes` starts it.

  python child.py PARENT_PID PROGRAM ARGUMENT...

On Linux only: other systems have no such signal, and a task outlives a parent
that was killed. A program of its own and not a preexec_fn, which is unsafe in a
parent with threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(argv) -> None:
  """Becomes the program."""
  parent, *command = argv[1:]
  if sys.platform == 'linux':
    # The kernel keeps it when the process becomes another program.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
  if os.getppid() != int(parent):  # died before the signal was asked for
    sys.exit(1)
  os.execv(command[0], command)


if __name__ == '__main__':
  main(sys.argv)
