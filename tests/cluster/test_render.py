import os
import pathlib
import subprocess
import sys

import pytest

from cluster import render, spec
from tests.cluster import examples

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _start(*words):
  return subprocess.run(
    [sys.executable, '-m', 'cluster.render', *words],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )


def test_binary_writes_and_refuses_to_write_again(tmp_path):
  path = str(examples.FOLDER / 'official_repro.yaml')
  words = (f'--spec={path}', f'--output={tmp_path / "out"}', '--target=jobset')
  done = _start(*words)
  assert done.returncode == 0, done.stderr
  names = ['jft-resnet101-jobset.yaml', 'jft-resnet101-tensorboard.yaml']
  assert done.stdout.split() == [str(tmp_path / 'out' / n) for n in names]
  assert sorted(os.listdir(tmp_path / 'out')) == names
  expected = render.render(spec.load(path), 'jobset')
  for name in names:
    assert (tmp_path / 'out' / name).read_text() == expected[name]
  again = _start(*words)
  assert again.returncode == 1
  assert 'exists; give --overwrite' in again.stderr
  assert again.stderr.count('\n') == 1


@pytest.mark.parametrize(
  'words, text',
  [
    ([], 'Flag --spec is missing: YAML file'),
    (['--spec=x', '--output=y'], 'Flag --target is missing'),
    (['--spec=x.yaml', '--output=y', '--target=slurm'], 'x.yaml: No such file'),
    (['--target=k8s'], 'tfjob|jobset|slurm'),
  ],
)
def test_wrong_use_is_one_line(words, text):
  done = _start(*words)
  assert done.returncode == 1
  assert text in done.stderr
  assert done.stderr.count('\n') == 1


def test_all_files_or_none(tmp_path):
  (tmp_path / 'b').write_text('old')
  with pytest.raises(ValueError, match="b' exists; give --overwrite"):
    render.write({'a': '1', 'b': '2'}, str(tmp_path))
  assert os.listdir(tmp_path) == ['b']
  assert (tmp_path / 'b').read_text() == 'old'
  render.write({'a': '1', 'b': '2'}, str(tmp_path), overwrite=True)
  assert (tmp_path / 'b').read_text() == '2'


def test_nothing_is_left_when_writing_fails(tmp_path):
  # The second text cannot be encoded: a lone half of a surrogate pair.
  with pytest.raises(UnicodeEncodeError):
    render.write({'a': '1', 'b': '\ud800'}, str(tmp_path))
  assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('target', list(render.TARGETS))
@pytest.mark.parametrize('name', examples.NAMES)
def test_files_are_called_after_the_job(name, target):
  job = examples.load(name)
  names = set(render.render(job, target))
  main = {
    'tfjob': f'{job.name}-tfjob.yaml',
    'jobset': f'{job.name}-jobset.yaml',
    'slurm': f'{job.name}.sbatch',
  }[target]
  board = {f'{job.name}-tensorboard.yaml'}
  shown = job.tensorboard and target != 'slurm'
  assert names == {main} | (board if shown else set())


def test_the_image_has_what_the_jobs_start():
  text = (ROOT / 'Dockerfile').read_text()
  for module in ('official_repro', 'object_detection', 'deeplab', 'pose'):
    assert f'COPY {module} {module}\n' in text
  # Pods give arguments only, and run as this user.
  assert 'ENTRYPOINT ["tini", "--", "python", "-m"]' in text
  assert 'USER 1000\n' in text
  ignored = (ROOT / '.dockerignore').read_text().splitlines()
  for line in text.splitlines():
    if line.startswith('COPY '):
      for name in line.split()[1:-1]:
        assert f'!{name}' in ignored
