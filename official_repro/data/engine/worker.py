"""Main of a local Beam worker process; `engine` starts it.

  python -m official_repro.data.engine.worker STOP_FILE PARENT_PID

Apart from Beam's own worker it is silent, and it ends at once when its parent
dies or the stop file appears: a worker that outlived a killed build would
write into the folder of the next one.
"""

import logging
import os
import signal
import sys
import threading
import time

_POLL_SECONDS = 0.3


def _watch(stop_file, parent):
  while os.getppid() == parent and not os.path.exists(stop_file):
    time.sleep(_POLL_SECONDS)
  os._exit(1)


def main(argv) -> None:
  """Runs Beam's worker under watch."""
  _, stop_file, parent = argv
  # Ctrl-C reaches the whole group; the parent alone reports it.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(
    target=_watch, args=(stop_file, int(parent)), daemon=True
  ).start()
  logging.disable(logging.CRITICAL)
  # Beam prints the traceback of every error, which the parent reports anyway.
  sys.stderr = open(os.devnull, 'w')  # noqa: SIM115
  from apache_beam.runners.worker import sdk_worker_main

  sdk_worker_main.main(argv[:1])


if __name__ == '__main__':
  main(sys.argv)
