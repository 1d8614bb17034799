import subprocess
import sys

import pytest

from tests import binaries

TRAIN = 'official_repro.train'


def _run(*args):
  return binaries.call(TRAIN, *args)


def _one_line(done, *words):
  assert done.returncode == 1, done.stderr
  lines = done.stderr.strip().splitlines()
  assert len(lines) == 1, done.stderr
  for word in words:
    assert word in lines[0]


def test_unknown_flag_has_a_suggestion():
  done = binaries.process(TRAIN, '--experimnt=mini_jft')
  _one_line(done, '--experimnt', '--experiment?')


def test_wrong_choice_names_the_choices():
  _one_line(_run('--mode=trian'), 'trian', 'train_and_eval')


def test_stray_argument():
  _one_line(_run('mini_jft'), "'mini_jft'")


def test_experiment_list_prints_all_presets():
  done = binaries.process(TRAIN, '--experiment=list')
  assert done.returncode == 0, done.stderr
  names = [line.split()[0] for line in done.stdout.splitlines()]
  for name in (
    'jft300m_resnet50',
    'jft300m_resnet101',
    'jft300m_resnet152',
    'jft300m_resnet101_from_imagenet',
    'imagenet_resnet101',
    'imagenet_finetune_resnet101',
    'mini_jft',
    'mini_finetune',
  ):
    assert name in names
  assert done.stderr == ''  # TensorFlow's start-up noise is kept away


@pytest.mark.parametrize(
  'args, words',
  [
    ([], ['--experiment', 'mini_jft']),
    (['--experiment=mini_jtf'], ['mini_jtf', 'mini_jft?']),
    (['--experiment=mini_jft'], ['--model_dir']),
    (
      ['--experiment=mini_jft', '--model_dir=/tmp/x'],
      ['--data_dir', 'dataset.json'],
    ),
    (
      ['--experiment=mini_jft', '--model_dir=/tmp/x', '--data_dir=/no/such'],
      ['/no/such'],
    ),
  ],
)
def test_missing_and_wrong_values(args, words):
  _one_line(_run(*args), *words)


def test_help_lists_the_flags():
  done = _run('--help')
  for flag in ('--experiment', '--data_dir', '--init_checkpoint', '--resume'):
    assert flag in done.stdout


_LOST = """
import threading
from official_repro.core import flags

def main(argv):
  print('begun')
  threading.Thread(target=threading.Event().wait).start()
  raise flags.LostPeerError('ps-0 was lost.')

flags.run(main)
"""


def test_a_lost_task_ends_the_process_whatever_its_threads_wait_for():
  done = subprocess.run(
    [sys.executable, '-c', _LOST],
    capture_output=True,
    text=True,
    check=False,
    timeout=600,
  )
  assert done.returncode == 138
  assert done.stdout == 'begun\n'
  assert done.stderr == 'Error: ps-0 was lost.\n'
