"""Runs the binaries of the project: in this process, or in one of their own.

A process of its own imports TensorFlow and converts all graph functions anew,
which takes longer than a tiny run. Few tests have a process of their own, for
what only that can show: the exit code, nothing but the one line on stderr,
signals; training and data building are among them. All else runs in this one.
"""

import contextlib
import io
import os
import re
import runpy
import signal
import subprocess
import sys
import warnings

from absl import app, flags, logging

_TASK = r'\w+-\d+ \(\S+\)'
# Whole lines of progress, and who prints them. They come every some seconds, so
# that a fast machine shows none of most.
_PROGRESS = {
  'official_repro.core.observers.Progress': (
    r'step \d+/\d+  loss \S+  lr \S+  \d+ images/s  data wait \d+%'
    r'  ETA [\d:?]+'
  ),
  'official_repro.core.observers.EvaluationProgress': (
    r'evaluating: batch \d+/\d+  ETA [\d:?]+'
  ),
  'official_repro.core.peers': f'Waiting for {_TASK}(, {_TASK})*',
  'official_repro.data.parallel': (
    r'[a-z ]+: [\d,]+ of [\d,]+ records, [\d,]+/s, \d+:\d\d:\d\d left'
  ),
  'official_repro.scaling.progress': (
    r'runs \d+/\d+ done, \d+ running, \d+ failed  ETA ~?([\d:?]+|[\d,]+ days)'
    r'  .*'
  ),
  'pose.people': r'Reading who is on the pictures: \d+ of \d+, \d+ s left',
}
_IS_PROGRESS = re.compile('|'.join(f'(?:{p})' for p in _PROGRESS.values()))


def command(module, *words, **options):
  """Returns the command line of a binary."""
  words = [*words, *(f'--{k}={v}' for k, v in options.items())]
  return [sys.executable, '-m', module, *map(str, words)]


def process(module, *words, **options):
  """Runs a binary in a process of its own; returns the CompletedProcess."""
  return subprocess.run(
    command(module, *words, **options),
    capture_output=True,
    text=True,
    check=False,
    env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3'),
  )


def call(module, *words, **options):
  """Runs a binary in this process; returns a CompletedProcess, too.

  An error that the binary does not turn into an exit code, and which would
  show its traceback, is raised.
  """
  arguments = command(module, *words, **options)
  output, errors = io.StringIO(), io.StringIO()
  code = 0
  with contextlib.ExitStack() as stack:
    stack.enter_context(_everything_put_back())
    stack.enter_context(contextlib.redirect_stdout(output))
    stack.enter_context(contextlib.redirect_stderr(errors))
    sys.argv = arguments[2:]
    try:
      runpy.run_module(module, run_name='__main__', alter_sys=True)
    except SystemExit as e:
      code = e.code or 0
  return subprocess.CompletedProcess(
    arguments, code, output.getvalue(), errors.getvalue()
  )


def messages(done):
  """Returns the lines of a CompletedProcess's stderr without the progress."""
  return [x for x in done.stderr.splitlines() if not _IS_PROGRESS.fullmatch(x)]


@contextlib.contextmanager
def _everything_put_back():
  """Undoes what a binary does to flags, signals, log level and precision."""
  app.define_help_flags()  # these are defined once and stay
  values, argv, level = flags.FLAGS, sys.argv, logging.get_verbosity()
  names = set(values)
  handlers = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
  try:
    with warnings.catch_warnings():
      # The tests have imported the module that now runs as a program.
      warnings.simplefilter('ignore', RuntimeWarning)
      yield
  finally:
    for name in set(values) - names:
      if _is_ours(values.find_module_defining_flag(name)):
        delattr(values, name)
    values.unparse_flags()
    logging.set_verbosity(level)
    sys.argv = argv
    for number, handler in handlers.items():
      signal.signal(number, handler)
    if 'tensorflow' in sys.modules:
      sys.modules['tensorflow'].keras.mixed_precision.set_global_policy(
        'float32'
      )


def _is_ours(module):
  # Flags of a program are listed under its path; libraries keep theirs.
  packages = ('official_repro', 'object_detection', 'deeplab', 'pose')
  return module.endswith('.py') or module.split('.')[0] in packages
