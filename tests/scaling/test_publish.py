import dataclasses
import json
import os
import re

import pytest

from official_repro.scaling import panels, plots, publish, results
from tests import binaries
from tests.scaling import fakes
from tests.scaling.rows_made_up import data_size

MOST_BYTES = 60_000  # of a plot in a repository


def _study(tmp_path, **changes):
  """Writes a study's folder as if it had been run elsewhere before."""
  fakes.load(tmp_path)
  rows = [
    dataclasses.replace(
      r,
      study='tiny',
      command='python -m a.train --data_dir=/old/tiny/data/coco,images=1 '
      f'--model_dir=/old/tiny/{r.model_dir} --init_checkpoint=/nets/r101 '
      '--seed=0 \'--params_override={"a": "/nets/b c"}\'',
      **changes,
    )
    for r in data_size(sizes=(1000, 3000))
  ]
  results.write_csv(str(tmp_path / 'out' / 'results.csv'), rows)
  return rows


def _publish(tmp_path, target):
  return binaries.call(
    'official_repro.study',
    spec=tmp_path / 'spec.yaml',
    output=tmp_path / 'out',
    publish=target,
  )


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'out').mkdir()
  return tmp_path


def test_what_is_published_names_no_folder_of_the_machine(folder):
  rows = _study(folder)
  run = folder / 'out' / rows[0].model_dir
  run.mkdir(parents=True)
  entry = {'versions': {'tensorflow': '2.15.1'}, 'git_commit': 'abc'}
  (run / 'run.json').write_text(json.dumps(entry))
  before = sorted(p for p in (folder / 'out').rglob('*'))
  done = _publish(folder, folder / 'results' / 'small')
  assert done.returncode == 0, done.stderr
  made = sorted((folder / 'results' / 'small').iterdir())
  names = ['report.md', 'results.csv', 'tiny-detection-ap50.png']
  assert [p.name for p in made] == names
  assert sorted(done.stdout.split()) == [str(p) for p in made]
  text = made[0].read_text()
  assert '(tiny-detection-ap50.png)' in text
  assert made[2].stat().st_size < MOST_BYTES
  for content in (text, made[1].read_text()):
    assert not re.search(r'(?<![\w.])/(old|nets)\b', content)
    assert str(folder) not in content
  command = (
    'python -m a.train --data_dir=runs/small/data/coco,images=1 '
    f'--model_dir=runs/small/{rows[0].model_dir} '
    '--init_checkpoint=PATH_TO/r101'
  )
  assert command in text
  assert '| tensorflow 2.15.1 | abc | - | 1 |' in text
  assert (
    'python -m official_repro.study --spec=PATH_TO/spec.yaml '
    '--output=runs/small' in text
  )
  again = results.read_csv(str(made[1]))
  assert again[0].command.startswith(command)
  assert [r.value for r in again] == [r.value for r in rows]
  # The study itself stays as it was.
  assert sorted(p for p in (folder / 'out').rglob('*')) == before
  assert results.read_csv(str(folder / 'out' / 'results.csv')) == rows


@pytest.mark.parametrize(
  ('word', 'expected'),
  [
    ('--output=/a/b', '--output=runs/x'),
    ('--data_dir=/a/b/data/m,seed=0', '--data_dir=runs/x/data/m,seed=0'),
    ('--data_dir=/a/bc/data', '--data_dir=PATH_TO/data'),  # another folder
    ('--files=/c/d,/e/f', '--files=PATH_TO/d,PATH_TO/f'),
    ('--data_dir=/c/m,images=1', '--data_dir=PATH_TO/m,images=1'),
    ('--o={"a": "/c/d", "b": 1}', '--o={"a": "PATH_TO/d", "b": 1}'),
    ('--data_dir=runs/y/data', '--data_dir=runs/y/data'),
    ('--data_dir={cwd}/data/y', '--data_dir=data/y'),
    ('--metric=AP/gt_boxes', '--metric=AP/gt_boxes'),
  ],
)
def test_paths_in_a_command(word, expected):
  row = results.Row(
    *('s', 'transfer', 'detection', 'r', 'done', 'AP50'),
    model_dir='/a/b/runs/r',
    command=f"python -m m '{word.replace('{cwd}', os.getcwd())}'",
  )
  (found,) = publish.portable([row], '/a/b', 'runs/x')
  assert found.model_dir == 'runs/r'
  words = found.command.removeprefix('python -m m ').strip("'")
  assert words == expected


def test_a_plot_of_many_series_is_small():
  rows = [
    dataclasses.replace(r, noise=noise, value=r.value + noise)
    for noise in (0.0, 0.1, 0.2)
    for r in data_size()
  ]
  (panel,) = panels.panels(rows, 'images')
  trend = plots.Trend([1e3, 3e5], [0.1, 0.5], (3e5, 0.5, 0.4, 0.6))
  # Six: more than there are names of line styles.
  drawn = plots.png(plots.draw(panel, [trend] * len(panel.series)))
  assert len(panel.series) == 6
  assert len(drawn) < MOST_BYTES


def test_bad_input(folder):
  fakes.load(folder)
  done = _publish(folder, folder / 'to')
  assert done.returncode == 1
  assert "results.csv' cannot be read" in done.stderr
  _study(folder)
  for target, told in (
    (folder / 'out', 'the folder of the study itself'),
    (folder / 'spec.yaml', 'File exists'),
  ):
    done = _publish(folder, target)
    assert done.returncode == 1
    assert told in done.stderr
    assert done.stderr.count('\n') == 1
  both = binaries.call(
    'official_repro.study', '--publish=x', '--dry_run', spec='a', output='b'
  )
  assert 'Flags --dry_run and --publish: give one of them' in both.stderr
  (folder / 'out' / 'study.json').write_text('{"name": "other"}')
  assert "holds the study 'other'" in _publish(folder, folder / 'to').stderr
  assert not (folder / 'to').exists()
