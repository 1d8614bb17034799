import html.parser
import io
import json
import re
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image

from official_repro.data import audit, subsets
from official_repro.data.audit import html as report_html
from official_repro.data.audit import noise as label_noise
from official_repro.data.audit import plots as report_plots
from official_repro.data.audit import report
from official_repro.data.audit import tables as report_tables
from official_repro.data.hierarchy import Hierarchy
from tests import binaries
from tests.data.audit.test_audit import PICTURES, SPACE, count, write_folder

SPLITS = {
  'train': [(f'{i}', [2], None) for i in range(30)] + [('r', [3], None)],
  'clean': [('0', [2], None), ('1', [4], None)],
}


def picture(width=300, height=200):
  pixels = np.full((height, width, 3), (200, 30, 30), np.uint8)
  out = io.BytesIO()
  Image.fromarray(pixels).save(out, 'JPEG')
  return out.getvalue()


def make_report(**kwargs):
  return audit.audit({'train': count()}, SPACE, name='toy', **kwargs)


def noise_of(precision=(80, 100), recall=(60, 100)):
  rows = [
    ('pictures', -1, 90),
    ('precision hits', 2, precision[0]),
    ('precision trials', 2, precision[1]),
    ('recall hits', 2, recall[0]),
    ('recall trials', 2, recall[1]),
  ]
  numbers = label_noise.estimate(rows, SPACE)
  return {'noisy_split': 'train', 'clean_split': 'clean', **numbers}


class Page(html.parser.HTMLParser):
  """Text, tags left open, and what the page refers to."""

  _VOID = ('meta', 'img', 'br')

  def __init__(self, content):
    super().__init__()
    self.text, self.open, self.sources, self.tags = '', [], [], set()
    self.feed(content)

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.sources += [v for k, v in attrs if k in ('src', 'href')]
    if tag not in self._VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text += data


def rows(table):
  return {row[0].split('\n')[0]: list(row[1:]) for row in table.rows}


def test_both_files_say_the_same(tmp_path):
  report.write(make_report(), tmp_path / 'deep' / 'out')
  folder = tmp_path / 'deep' / 'out'
  assert sorted(p.name for p in folder.iterdir()) == [
    'report.html',
    'report.json',
  ]
  content = json.loads((folder / 'report.json').read_text())
  assert content == json.loads(json.dumps(make_report()))
  assert report_html.render(content) == (folder / 'report.html').read_text()


def test_the_page_is_whole_and_needs_no_other_file():
  page = Page(report_html.render(make_report(noise=noise_of())))
  assert page.open == []
  assert not page.tags & {'script', 'link', 'iframe'}
  assert page.sources
  assert all(s.startswith('data:image/') for s in page.sources)
  for text in ('toy', 'Labels of train', 'Noise of the labels', 'JFT-300M'):
    assert text in page.text
  assert 'None' not in page.text


def test_names_are_text_and_not_html():
  evil = Hierarchy.flat(['<script>alert(1)</script>', 'a & b'])
  stats = count([([0], [0], 1, 1)], evil)
  content = audit.audit(
    {'train': stats}, evil, info={'<i>': '</pre>'}, name='<b>'
  )
  shown = report.Picture('train', '<u>', b'', ('<em>',), ('&',))
  page = Page(report_html.render(content, [shown]))
  assert page.open == []
  assert not page.tags & {'script', 'b>', 'u', 'em'}
  for text in ('<script>alert(1)</script>', 'a & b', '<b>', '<u>', '<em>'):
    assert text in page.text


@pytest.mark.parametrize('which', [1, 2])
def test_a_disk_that_is_full_leaves_the_old_report(
  tmp_path, monkeypatch, which
):
  report.write(make_report(), tmp_path)
  before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
  calls, real = [], type(tmp_path).write_text

  def fail(path, *args, **kwargs):
    calls.append(path)
    if len(calls) == which:
      real(path, 'half')
      raise OSError(28, 'No space left on device', str(path))
    return real(path, *args, **kwargs)

  monkeypatch.setattr(type(tmp_path), 'write_text', fail)
  with pytest.raises(OSError, match='No space'):
    report.write(make_report(bad={'train': 1}), tmp_path)
  assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_table_of_splits():
  table = report_tables.splits(make_report(bad={'train': 1234}))
  assert rows(table)['train'] == [
    '4',
    '1.25 / 1.5 / 2',
    '2.25 / 3 / 3',
    '1',
    '80 B',
    '50 B',
    '62.5%',
    '1,234',
    '0',
  ]


def test_our_numbers_stand_beside_the_papers():
  table = rows(report_tables.beside_paper(make_report(noise=noise_of())))
  assert table['labels per picture'] == ['1.25', '1.26†']
  assert table['categories'] == ['6', '18,291']
  assert table['rare categories'] == ['6 (100.0%)', '> 3,000† (16%)']
  assert table['depth'] == ['2', '12†']
  assert table['children'] == ['2', '2,876†']
  # Wilson of 80 of 100, turned round: 13.3 to 28.9%. Labels of one category
  # are of different pictures, but the total has no moments here: effect 1.
  assert table['wrong labels'] == ['20.0% (13.3 to 28.9%)', 'about 20%†']
  without = rows(report_tables.beside_paper(make_report()))
  assert without['wrong labels'][0] == '-'


def test_long_tail_and_levels_as_tables():
  split = make_report()['splits']['train']
  tail = rows(report_tables.long_tail(split))
  assert tail['no picture'] == ['2 (33.3%)', '2 (33.3%)']
  assert tail['labels on the top 1% (1 category)'] == ['40.0%', '33.3%']
  levels = report_tables.by_depth(split).rows
  assert levels[1] == ['1', '1', '1', '2', '3']


def test_numbers_as_text():
  assert report_tables.size(999) == '999 B'
  assert report_tables.size(1_234_567) == '1.2 MB'
  assert report_tables.count(1234567) == '1,234,567'
  assert report_tables.percent(0.12345) == '12.3%'
  for function in (
    report_tables.size,
    report_tables.count,
    report_tables.mean,
    report_tables.percent,
  ):
    assert function(None) == '-'


@pytest.mark.parametrize(
  'draw',
  [
    lambda: report_plots.label_frequency(
      [[1, 50], [2, 3]], [[1, 200], [2, 90]], (20, 100)
    ),
    lambda: report_plots.label_frequency(None, [[1, 1]], (20, 100)),
    lambda: report_plots.label_frequency([], []),
    lambda: report_plots.labels_per_image([[0, 3], [90, 4]], [[5, 7]]),
    lambda: report_plots.labels_per_image(None, [[1, 7]]),
    lambda: report_plots.labels_by_depth([3, 0], [1, 5]),
    lambda: report_plots.labels_by_depth(None, [1]),
  ],
)
def test_plots_are_svg_and_always_the_same(draw):
  svg = draw()
  root = xml.etree.ElementTree.fromstring(svg)
  assert root.tag.endswith('}svg')
  assert svg == draw()
  # Nothing to fetch: the only addresses are names of XML vocabularies.
  assert all(
    'w3.org' in a or 'purl.org' in a or 'creativecommons' in a or 'matplot' in a
    for a in re.findall(r'https?://[^"<\s]+', svg)
  )


def test_a_report_of_a_folder(tmp_path):
  write_folder(tmp_path, SPLITS, image=picture())
  result = report.report_folder(tmp_path, processes=1)
  assert result == json.loads((tmp_path / 'report.json').read_text())
  train = result['splits']['train']
  assert train['records'] == 31
  # Apples get fruit and food: 30 * 2; the rock gets nothing.
  assert train['labels_added'] == 60
  assert result['info'] == {'a': 1}
  assert result['unseen']['first'] == [[5, 'moss']]
  # 0 is an apple; 1 is a pear that train calls an apple.
  assert result['noise']['precision']['share'] == 0.5
  page = (tmp_path / 'report.html').read_text()
  assert page.count('<figure><img alt="" loading="lazy"') == 12 + 2
  assert 'train: 31 records, labels per image 1.00 given' in (
    report.summary(result)
  )
  assert '50.0% of the given labels are wrong' in report.summary(result)


def test_pictures_are_small_copies_with_the_names_of_their_labels(tmp_path):
  write_folder(tmp_path, SPLITS, image=picture())
  shown = report.some_pictures(tmp_path, 5)
  # Half of five from each split: train has two, clean three, of which only
  # two exist.
  assert [p.split for p in shown] == ['train'] * 2 + ['clean'] * 2
  assert shown[0].given == ('apple',)
  assert shown[0].added == ('fruit', 'food')
  with Image.open(io.BytesIO(shown[0].jpeg)) as image:
    assert image.size == (192, 128)
  assert report.some_pictures(tmp_path, 0) == []


def test_a_picture_that_cannot_be_drawn_is_passed_over(tmp_path):
  write_folder(tmp_path, SPLITS, image=b'no picture')
  assert report.some_pictures(tmp_path) == []
  assert report.report_folder(tmp_path, processes=1)['splits']


def test_records_that_hold_the_final_labels_only(tmp_path):
  write_folder(tmp_path, {'a_split': [('x', [], [0, 1, 2])]}, image=picture())
  result = report.report_folder(tmp_path, processes=1)
  assert result['splits']['a_split']['labels_per_image']['given'] is None
  assert 'labels per image unknown given, 3.00' in report.summary(result)
  (shown,) = report.some_pictures(tmp_path)
  assert (shown.given, shown.added) == (('apple', 'fruit', 'food'), ())


def test_what_only_the_build_knew_is_kept(tmp_path):
  pictures = [(f'p{i}', p[0], p[1]) for i, p in enumerate(PICTURES)]
  write_folder(tmp_path, {'train': pictures}, image=b'12345')
  stats = count([(g, f, 5, s) for g, f, _, s in PICTURES])
  built = audit.audit({'train': stats}, SPACE, bad={'train': 2})
  report.write(built, tmp_path)
  again = report.report_folder(tmp_path, processes=1)['splits']['train']
  assert again == built['splits']['train']
  assert (again['bytes_before'], again['bad']) == (80, 2)
  # Other records: what the old report said of them does not count.
  write_folder(tmp_path, {'train': pictures[:3]}, image=b'12345')
  other = report.report_folder(tmp_path, processes=1)['splits']['train']
  assert (other['bytes_before'], other['bad']) == (None, None)


def test_bad_images_are_counted_from_the_builds_list(tmp_path):
  write_folder(tmp_path, SPLITS)
  (tmp_path / 'bad_records.csv').write_text(
    'split,source_id,reason\ntrain,x,empty file\ntrain,"y,z",truncated\n'
  )
  splits = report.report_folder(tmp_path, processes=1)['splits']
  assert (splits['train']['bad'], splits['clean']['bad']) == (2, 0)


def test_a_report_of_a_subset(tmp_path):
  full, part = tmp_path / 'full', tmp_path / 'part'
  shards = write_folder(full, {'train': SPLITS['train']}, num_shards=1)
  keep = np.zeros(shards['train'][0].records, bool)
  keep[-3:] = True  # two apples and the rock
  fruit = Hierarchy.flat(['apple', 'rock'])
  subsets.write_subset(
    full,
    part,
    {'train': [keep]},
    name='part',
    info={},
    hierarchy=fruit,
    label_map=np.array([-1, -1, 0, 1, -1, -1], np.int32),
  )
  result = report.report_folder(part, processes=1)
  assert result['name'] == 'part'
  assert result['splits']['train']['records'] == 3
  most = result['splits']['train']['classes']['filled']['most_frequent']
  assert most == [[0, 'apple', 2], [1, 'rock', 1]]


REPORT = 'official_repro.report'


def run(*arguments):
  return binaries.call(REPORT, '--processes=1', *arguments)


def test_the_binary(tmp_path):
  data, out = tmp_path / 'data', tmp_path / 'out'
  write_folder(data, SPLITS, image=picture())
  words = f'--data_dir={data}', f'--output={out}', '--clean_split=clean'
  done = run(*words)
  assert done.returncode == 0, done.stderr
  assert f'Report: {out / "report.html"}' in done.stdout
  assert sorted(p.name for p in out.iterdir()) == ['report.html', 'report.json']
  assert not (data / 'report.json').exists()


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ((), 'Error: Flag --data_dir is missing'),
    (('--data_dir={}/no',), 'Error: There is no data folder'),
    (('--data_dir={}', '--clean_split=x'), "has no split 'x'; it has train."),
    (('--data_dir={}', '--noisy_split=x'), "has no split 'x'; it has train."),
  ],
)
def test_wrong_use_of_the_binary(tmp_path, arguments, message):
  write_folder(tmp_path, {'train': SPLITS['train']})
  done = run(*(a.format(tmp_path) for a in arguments))
  assert done.returncode == 1
  (line,) = binaries.messages(done)
  assert message in line
