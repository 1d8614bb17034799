import io
import json
import os
import subprocess
import sys
import types

import pytest
import tensorflow as tf

from official_repro import experiments
from official_repro.core import checkpoints, model_dir, observers


def _save(folder, **metadata):
  return tf.train.Checkpoint(metadata=checkpoints.Metadata(metadata)).save(
    str(folder / 'ckpt')
  )


def test_resume_rule(tmp_path):
  assert model_dir.resume_from(str(tmp_path), 'auto') is None
  assert model_dir.resume_from(str(tmp_path), 'never') is None
  with pytest.raises(ValueError, match='no checkpoint to resume'):
    model_dir.resume_from(str(tmp_path), 'must')
  prefix = _save(tmp_path)
  assert model_dir.resume_from(str(tmp_path), 'auto') == prefix
  assert model_dir.resume_from(str(tmp_path), 'must') == prefix
  with pytest.raises(ValueError, match='ckpt-1'):
    model_dir.resume_from(str(tmp_path), 'never')


def test_resuming_another_model_is_refused(tmp_path):
  prefix = _save(tmp_path, depth=14)
  model_dir.check_resumable(prefix, {'depth': 14, 'new_key': 1})
  with pytest.raises(ValueError, match='depth 14, this run has 50'):
    model_dir.check_resumable(prefix, {'depth': 50})


def test_second_run_on_one_folder_is_refused(tmp_path):
  code = (
    'from official_repro.core import model_dir\n'
    f'with model_dir.locked({str(tmp_path)!r}): pass'
  )
  with model_dir.locked(str(tmp_path)):
    done = subprocess.run(
      [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    assert f'in use by another run (process {os.getpid()})' in done.stderr
  with model_dir.locked(str(tmp_path)):  # free again
    pass


def test_folder_that_cannot_be_written(tmp_path):
  file = tmp_path / 'file'
  file.write_text('x')
  with pytest.raises(ValueError, match='cannot be written') as e:
    model_dir.locked(str(file / 'run')).__enter__()
  assert str(file / 'run') in str(e.value)


def test_run_json_keeps_earlier_starts(tmp_path):
  config = experiments.mini_jft()
  for data_hash in ('first', 'second', 'third'):
    model_dir.write_run_files(str(tmp_path), config, data_hash)
  entry = json.loads((tmp_path / 'run.json').read_text())
  assert entry['data_manifest'] == 'third'
  assert [e['data_manifest'] for e in entry['earlier']] == ['first', 'second']
  assert entry['versions']['tensorflow'] == tf.__version__
  assert (tmp_path / 'params.yaml').exists()


def test_metrics_line(tmp_path):
  for step in (10, 20):
    observers.append_metrics(
      str(tmp_path),
      step=step,
      examples_seen=step * 4,
      split='validation',
      metrics={'b': 0.5, 'a': float('nan')},
    )
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert json.loads(lines[1]) == {
    'step': 20,
    'examples_seen': 80,
    'split': 'validation',
    'metrics': {'a': None, 'b': 0.5},
  }


@pytest.mark.parametrize(
  'seconds, text',
  [(7, '0:07'), (750, '12:30'), (11100, '3:05:00'), (float('inf'), '?')],
)
def test_duration(seconds, text):
  assert observers.duration(seconds) == text


def test_loss_guard_names_step_and_records(tmp_path):
  # Steps 1-10 of batch 4 are done; step 7 began at example 24.
  trainer = types.SimpleNamespace(
    bad_step=lambda: 7,
    global_step=tf.Variable(10),
    position=tf.Variable(40),
    batch_size=4,
    optimizer=types.SimpleNamespace(learning_rate=0.1),
  )
  with pytest.raises(ValueError, match='step 7'):
    observers.check_loss(
      trainer, str(tmp_path), lambda position: [f'record-{position}']
    )
  saved = json.loads((tmp_path / 'nonfinite-7.json').read_text())
  assert saved['position'] == 24
  assert saved['records'] == ['record-24']


def test_evaluation_shows_progress_every_ten_seconds(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(observers.time, 'perf_counter', lambda: now[0])
  stream = io.StringIO()
  progress = observers.EvaluationProgress(10, stream)
  for second in (4, 8, 12, 16):
    now[0] = second
    progress()
  # At second 12 three of ten batches are done, 4 s each: 28 s are left.
  assert stream.getvalue() == 'evaluating: batch 3/10  ETA 0:28\n'
