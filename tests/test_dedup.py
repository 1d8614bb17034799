import os
import pathlib
import subprocess
import sys

import pytest

from tests.data.dedup.test_removing import ids_in, leaky, write_folder

ROOT = pathlib.Path(__file__).resolve().parents[1]


def run(*words, environment=None):
  return subprocess.run(
    [sys.executable, '-m', 'official_repro.dedup', *map(str, words)],
    capture_output=True,
    text=True,
    check=False,
    cwd=ROOT,
    env={**os.environ, **(environment or {})},
  )


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return write_folder(tmp_path_factory.mktemp('dedup') / 'data', leaky())


def test_the_binary(data, tmp_path):
  out = tmp_path / 'out'
  words = (f'--data_dir={data}', f'--output={out}', '--against=validation')
  done = run(*words)
  assert (done.returncode, done.stderr) == (0, '')
  assert 'train: 3 of 9 records dropped (33.33%)' in done.stdout
  assert 'Copies: 1 cropped, 1 mirrored, 1 same' in done.stdout
  assert len(ids_in(out)) == 6
  again = run(*words)
  assert again.returncode == 1
  assert again.stderr.startswith(f'Error: {out} holds a data set already')
  assert run(*words, '--overwrite').returncode == 0


@pytest.mark.parametrize(
  ('words', 'sentence'),
  [
    ((), 'Flag --output is missing'),
    (('--split=trian',), "has no split 'trian'"),
    (('--against=dev',), "has no split 'dev'"),
    (('--against=train',), "--against names 'train' itself"),
    (('--against_dir=x',), 'needs --against'),
    (('--radius=40',), 'from 0 to 20, got 40'),
    (('--min_score=1.5',), 'at most 1, got 1.5'),
    (('--confirm=embedding',), 'needs --checkpoint'),
    (('--checkpoint=x',), '--checkpoint is for --confirm=embedding'),
  ],
)
def test_wrong_use(data, tmp_path, words, sentence):
  output = (f'--output={tmp_path / "out"}',) if words else ()
  done = run(f'--data_dir={data}', *output, *words)
  assert done.returncode == 1
  assert sentence in done.stderr
  assert done.stderr.startswith('Error: ')
  assert done.stderr.count('\n') == 1
  assert not (tmp_path / 'out').exists()
