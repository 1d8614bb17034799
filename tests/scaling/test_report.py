import dataclasses
import html.parser
import json
import math
import re
import shutil
import subprocess
import types

import pytest
from PIL import Image

from official_repro.scaling import page, report, results, trends
from tests.scaling.rows_made_up import SEEDS, data_size, from_scratch, row

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')


def spec(paper='data_size', name='made_up', title='Transfer by size'):
  return types.SimpleNamespace(name=name, paper=paper, title=title)


def write(tmp_path, rows, *specs):
  report.write_report(rows, specs or [spec()], tmp_path)
  return Page((tmp_path / 'report.html').read_text())


class Page(html.parser.HTMLParser):
  """Text, tags left open, ids, and what the page refers to."""

  _VOID = ('meta', 'img', 'br')

  def __init__(self, content):
    super().__init__()
    self.content, self.text = content, ''
    self.open, self.tags, self.ids, self.targets = [], [], [], []
    self.feed(content)

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.ids += [v for k, v in attrs if k == 'id']
    self.targets += [v for k, v in attrs if k in ('src', 'href')]
    if tag not in self._VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.handle_starttag(tag, attrs)
    if tag not in self._VOID:
      self.open.pop()

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text += data


def many():
  """Returns rows of three studies with runs of all fates, and their specs."""
  rows = data_size() + from_scratch()
  rows[1] = dataclasses.replace(rows[1], status='failed', value=None)
  rows[2] = dataclasses.replace(rows[2], status='stale')
  rows[3] = dataclasses.replace(rows[3], value=math.nan)
  rows += [
    row(v, stage='choice', learning_rate=rate, images=10_000, seed=100)
    for rate, v in ((0.001, 0.2), (0.01, 0.31), (0.1, math.nan))
  ]
  other = [
    row(0.1 * i + 0.01 * s, study='vocabulary', vocabulary=v, seed=s)
    for i, v in enumerate(('all', 'leaves'))
    for s in SEEDS
  ]
  plain = [row(0.5, study='no_paper', init='random', seed=0)]
  return rows + other + plain, [
    spec(),
    spec('vocabulary', 'vocabulary', 'Fewer labels'),
  ]


def test_the_page_is_whole_and_needs_no_network(tmp_path):
  rows, specs = many()
  shown = write(tmp_path, rows, *specs)
  assert shown.open == []
  assert not {'script', 'link', 'iframe', 'img'} & set(shown.tags)
  assert not re.search(r'https?:|//[a-z]', shown.content)
  assert shown.tags.count('svg') == 3
  assert len(shown.ids) == len(set(shown.ids))
  for target in shown.targets:
    assert target == 'results.csv' or target[1:] in shown.ids
  references = re.findall(r'url\(#([^)]*)\)', shown.content)
  assert references
  assert set(references) <= set(shown.ids)
  assert 'None' not in shown.text
  assert 'nan' not in shown.text.split()


def test_what_the_page_says(tmp_path):
  rows, specs = many()
  shown = write(tmp_path, rows, *specs).text
  for text in (
    'The paper: fine-tuned is above frozen at every size.',
    'n/r, not recovered',
    '31.9†',
    'Used so far: none. Chosen once',
    '4 runs have no result',
    'stale: made by another command',
    'done, but the metric is not a number',
    'python -m package.train --name=images=1000,init=pretrained',
    'Log-linear law is preferred',
  ):
    assert text in shown


def test_ten_times_more_data(tmp_path):
  shown = write(tmp_path, data_size())
  # .2 + .1 log10(300,000 / 1000)
  assert '300,000 images, would give 0.448 (90% interval' in shown.text
  # .4 is at 100,000 images, of frozen .25 at 31,623, past the largest size.
  assert 'A metric of 0.4 takes about 100,000 images (90% int' in shown.text
  assert 'not other pictures of the evaluation' in shown.text


def test_a_round_metric_to_ask_for():
  for start, end, found in (
    (0.348, 0.448, 0.4),
    (0.31, 0.34, 0.32),
    (5.2, 4.9, 5),  # a loss falls
    (0.4, 0.5, 0.41),
    (0.3, 0.3, None),
  ):
    assert trends._roundest(start, end) == found


@pytest.mark.parametrize('data', [{}, {'detection': 'other'}])
def test_a_choice_on_reported_pictures_is_told(tmp_path, data):
  rows, specs = many()
  specs[0].choice = types.SimpleNamespace(tasks=('detection',), data=data)
  shown = write(tmp_path, rows, *specs).text
  told = 'Of detection the choice was on the pictures of the results themselves'
  assert (told in shown) == (not data)


def test_the_numbers_come_first_in_one_table(tmp_path):
  write(tmp_path, [*data_size(sizes=(1000, 3000)), *from_scratch()])
  first = (tmp_path / 'report.md').read_text().partition('### What is')[0]
  # .2 + .1 log10 3 = .248; half of -.01 to .01; frozen .05 below.
  for line in (
    'By pre-training images, mean of 3 seeds ± half their range.',
    '| task, metric | 1,000 | 3,000 | at any size |',
    '| detection, AP50<br>pre-trained, fine-tuned | 0.200±0.010 | 0.248±0.010 '
    '| - |',
    '| detection, AP50<br>pre-trained, frozen | 0.150±0.010 | 0.198±0.010 '
    '| - |',
    '| detection, AP50<br>from scratch, fine-tuned | - | - | 0.150±0.010 |',
  ):
    assert f'\n{line}\n' in first


@pytest.mark.parametrize('seeds', [(0, 1), (0,)])
def test_panels_of_one_series_share_a_table(tmp_path, seeds):
  tuned = [
    r
    for task in ('detection', 'pose')
    for r in data_size(sizes=(1000, 3000), seeds=seeds, task=task)
    if not r.frozen
  ]
  write(tmp_path, tuned)
  text = (tmp_path / 'report.md').read_text()
  head = '| pre-training images | detection, AP50 | pose, AP50 |'
  # One seed has nothing to add to the table at the top.
  assert text.count('Measured here') == text.count(head) == len(seeds) - 1
  # Seeds 0 and 1: .19 and .2, deviation .00707, t(2) 2.92, / sqrt 2.
  values = '0.195 ± 0.015<br>0.190 0.200'
  assert (f'| 1,000 | {values} | {values} |' in text) == (len(seeds) == 2)


def test_every_number_of_the_paper_has_its_mark(tmp_path):
  rows = [row(0.1 + e / 100, epochs=float(e), seed=0) for e in (2, 4)]
  shown = write(tmp_path, rows, spec('epochs'))
  for text in (shown.text, (tmp_path / 'report.md').read_text()):
    for number in ('35.0', '36.1', '36.8'):
      assert text.count(f'{number}†') == text.count(number) == 1


def test_markdown_and_its_plots(tmp_path):
  rows, specs = many()
  write(tmp_path, rows, *specs)
  text = (tmp_path / 'report.md').read_text()
  plots = re.findall(r'\]\(([^)]+\.png)\)', text)
  assert sorted(plots) == sorted(p.name for p in tmp_path.glob('*.png'))
  for name in plots:
    with Image.open(tmp_path / name) as picture:
      assert picture.width > 500
  lines = [line for line in text.splitlines() if line.startswith('|')]
  assert '| 10M | n/r | n/r |' in lines
  assert any(line.startswith('| 1,000 | 0.190') for line in lines)


def test_two_sizes_have_no_forecast_and_a_reason(tmp_path):
  shown = write(tmp_path, data_size(sizes=(1000, 3000)))
  assert 'No forecast: ' in shown.text
  assert 'wants at least 3 numbers of images, got 2' in shown.text
  assert 'Nothing: all runs are done.' in shown.text


def test_one_seed_has_no_interval(tmp_path):
  shown = write(tmp_path, data_size(seeds=(0,)))
  assert 'One seed, so no interval.' in shown.text
  assert 'One seed of each size: the interval is from' in shown.text
  assert '±' not in shown.text
  other_seeds = 'Intervals of 90%: what other seeds'
  assert other_seeds not in shown.text
  assert other_seeds in write(tmp_path, data_size()).text


@pytest.mark.parametrize(
  ('seeds', 'told'),
  [
    ((0, 10, 2), '- seeds: 0, 2, 10: **3**'),
    ((0,), '- seed: 0: **1**'),  # also where the spec has no axis seed
    ((None,), '- run of each, no seed given: **1**'),
  ],
)
def test_seeds_are_counted(tmp_path, seeds, told):
  write(tmp_path, [row(0.1, init='random', seed=s) for s in seeds])
  assert told in (tmp_path / 'report.md').read_text()


def _deduped(tmp_path, dropped):
  """Writes the report of a study that dropped so many; returns its text."""
  rows = [
    row(0.1, task='pretraining', duplicates=d, seed=s)
    for d in ('kept', 'removed')
    for s in SEEDS
  ]
  results.write_csv(str(tmp_path / 'results.csv'), rows)
  if dropped is not None:
    data = tmp_path / 'data' / 'mini_jft,duplicates=removed'
    data.mkdir(parents=True)
    numbers = {
      'split': 'train',
      'records': 12_000,
      'dropped': dropped,
      'against': [{'name': 'validation', 'records': 1000}],
    }
    (data / 'dedup.json').write_text(json.dumps(numbers))
  report.write_report(tmp_path, [spec('near_duplicates')])
  return Page((tmp_path / 'report.html').read_text()).text


@pytest.mark.parametrize(
  ('dropped', 'told'),
  [
    (0, 'what differs between them is no effect of near-duplicates'),
    (12, 'removed: 12 of 12,000 records of train were dropped as near-dup'),
    (None, 'How many records were dropped is not known here'),
  ],
)
def test_how_many_near_duplicates_were_dropped(tmp_path, dropped, told):
  shown = _deduped(tmp_path, dropped)
  assert told in shown
  assert ('the same pictures, and what differs' in shown) == (dropped == 0)
  assert 'The paper‡: removing near-duplicates changes little' in shown


def test_nothing_done_yet(tmp_path):
  rows = [
    dataclasses.replace(r, status='not run', value=None) for r in data_size()
  ]
  shown = write(tmp_path, rows)
  assert '0 of 24' in shown.text
  assert 'cannot be told' in shown.text
  assert 'svg' not in shown.tags


def test_names_are_text_and_not_html(tmp_path):
  evil = '<script>alert(1)</script>|`*$x$'
  rows = [
    row(0.1, task='a & b', metric='<i>', init=evil, study='<b>', seed=0),
    row(0.2, task='a & b', metric='<i>', init='random', study='<b>', seed=0),
  ]
  shown = write(tmp_path, rows, spec('detection_voc', '<b>', '<u>'))
  assert shown.open == []
  assert not {'script', 'i', 'u'} & set(shown.tags)
  for text in ('<u>', 'a & b, <i>', '<script>'):
    assert text in shown.text
  text = (tmp_path / 'report.md').read_text()
  assert '<script>' not in text.split('```')[0]
  assert {p.name for p in tmp_path.glob('*.png')} == {'b-a-b-i.png'}


def test_a_folder_with_its_runs(tmp_path):
  rows = [
    dataclasses.replace(r, learning_rate=0.01)
    for r in data_size(sizes=(1000, 3000))
  ]
  results.write_csv(str(tmp_path / 'results.csv'), rows)
  run = tmp_path / rows[0].model_dir
  run.mkdir(parents=True)
  entry = {
    'versions': {'tensorflow': '2.15.1', 'python': '3.11'},
    'git_commit': 'abc',
    'devices': ['/device:CPU:0'],
  }
  (run / 'run.json').write_text(json.dumps(entry))
  files = report.write_report(tmp_path, [spec()], tmp_path / 'out')
  assert [f.name for f in files[:2]] == ['report.html', 'report.md']
  shown = Page(files[0].read_text())
  assert '../results.csv' in shown.targets
  assert 'python 3.11, tensorflow 2.15.1' in shown.text
  assert 'Used in all runs: detection 0.01.' in shown.text
  # The same rows, the same page; a second report leaves nothing behind.
  before = files[0].read_bytes()
  report.write_report(tmp_path, [spec()], tmp_path / 'out')
  assert files[0].read_bytes() == before
  assert sorted(tmp_path.glob('out/*')) == sorted(files)


def test_bad_input(tmp_path):
  results.write_csv(str(tmp_path / 'results.csv'), [])
  with pytest.raises(ValueError, match=r'nothing to report.*holds no run'):
    report.write_report(tmp_path)
  with pytest.raises(ValueError, match='given rows hold no run'):
    report.write_report([], output=tmp_path)
  with pytest.raises(ValueError, match='no output folder'):
    report.write_report(data_size())
  with pytest.raises(ValueError, match='mean epochs'):
    report.write_report(data_size(), [spec('epoch')], tmp_path)


def test_names_are_given_once():
  names = page.Names()
  found = [names('a', 'B c'), names('a-b-c'), names('a b', 'c'), names('&')]
  assert found == ['a-b-c', 'a-b-c-2', 'a-b-c-3', 'x']


PROBE = """<script>
const wrong = [];
addEventListener('error', e => wrong.push(String(e.message)), true);
addEventListener('load', () => {
  const root = document.documentElement, found = {width: innerWidth};
  for (const d of document.querySelectorAll('details')) d.open = true;
  found.overflow = root.scrollWidth - innerWidth;
  found.small = [...document.querySelectorAll('svg')].filter(
    s => s.getBoundingClientRect().width < 250).length;
  found.broken = [...document.images].filter(i => !i.naturalWidth).length;
  found.blank = [...document.querySelectorAll('svg use')].filter(
    u => !document.querySelector(u.getAttribute('href'))).length;
  found.wrong = wrong;
  parent.postMessage(JSON.stringify(found), '*');
});
</script></head>"""
# A window is at least 500 pixels wide, a frame is as wide as it is told.
FRAME = """<!DOCTYPE html><html><body><script>
addEventListener('message', e => document.body.dataset.found = e.data);
</script><iframe src="probed.html" width="390" height="844" frameborder="0">
</iframe></body></html>"""
CHROMIUM_FLAGS = (
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
  '--enable-logging=stderr',
  '--virtual-time-budget=3000',
)


@pytest.mark.skipif(not CHROMIUM, reason='needs chromium')
def test_in_a_browser_as_wide_as_a_phone(tmp_path):
  rows, specs = many()
  long = row(0.5, study='w' * 90, task='t' * 60, init='i' * 200, seed=0)
  shown = write(tmp_path, [*rows, long], *specs)
  probed = shown.content.replace('</head>', PROBE, 1)
  (tmp_path / 'probed.html').write_text(probed)
  (tmp_path / 'frame.html').write_text(FRAME)
  done = subprocess.run(
    [
      CHROMIUM,
      *CHROMIUM_FLAGS,
      f'--user-data-dir={tmp_path / "profile"}',
      '--dump-dom',
      (tmp_path / 'frame.html').as_uri(),
    ],
    capture_output=True,
    text=True,
    timeout=600,
    check=True,
  )
  dom = re.search(r'data-found="([^"]*)"', done.stdout).group(1)
  found = json.loads(html.unescape(dom))
  assert found == {
    'width': 390,
    'overflow': 0,
    'small': 0,
    'broken': 0,
    'blank': 0,
    'wrong': [],
  }
  assert ':CONSOLE' not in done.stderr
