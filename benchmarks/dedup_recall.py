"""Recall of near-duplicates on planted copies; prints one JSON line.

  python -m benchmarks.dedup_recall [--zip=images_background_small1.zip]

Two sets: mini_jft (2,000 pictures, 500 of them with copies of each kind) and
Omniglot (2,720 drawings, 200 with copies). All originals and copies are one
split, in which copies are looked for.
  recall       share of the copies that are confirmed against their original
  false_drops  share of the pictures without copies that would be dropped
goal: recall >= .95 of re-encoded, resized and mirrored copies at false drops
<= .001, on both sets. --plot draws both against the two thresholds.
"""

import dataclasses
import functools
import io
import os
import pathlib
import tempfile
import time
import zipfile

import cv2
import numpy as np
from absl import flags
from PIL import Image

from benchmarks import machine
from official_repro.core import flags as core_flags
from official_repro.data import hierarchy, manifest, records
from official_repro.data.dedup import grouping, parts, pipeline
from official_repro.data.mini import MiniJft
from official_repro.data.mini.copies import cropped, mirrored, resized

DEFAULT_ZIP = '../shared/data/omniglot/images_background_small1.zip'
GOALS = ('reencode', 'half', 'larger', 'mirror')
MAX_RADIUS = 12
_BEST, _POOR = 95, 50
_COLOURS = ('#1f69b2', '#d55e00', '#009e73', '#cc79a7', '#7f7f7f', '#e69f00')


# {kind: (what is done to the pixels, JPEG quality)}
KINDS = {
  'reencode': (lambda p: p, _POOR),
  'half': (lambda p: resized(p, 0.5), _BEST),
  'larger': (lambda p: resized(p, 1.5), _BEST),
  'mirror': (mirrored, _BEST),
  'crop5': (lambda p: cropped(p, 0.05, 0.05, 0.05, 0.05), _BEST),
  'crop10': (lambda p: cropped(p, 0.1, 0.1, 0.1, 0.1), _BEST),
  'crop5_corner': (lambda p: cropped(p, 0.05, 0.05, 0, 0), _BEST),
  'crop10_bottom': (lambda p: cropped(p, 0, 0, 0.1, 0), _BEST),
  'half_reencode': (lambda p: resized(p, 0.5), _POOR),
  'mirror_reencode': (mirrored, _POOR),
  'mirror_half': (lambda p: mirrored(resized(p, 0.5)), _BEST),
  'mirror_crop5': (
    lambda p: mirrored(cropped(p, 0.05, 0.05, 0.05, 0.05)),
    _BEST,
  ),
  'crop5_half_reencode': (
    lambda p: resized(cropped(p, 0.05, 0.05, 0.05, 0.05), 0.5),
    _POOR,
  ),
}


def mini_pictures(count):
  """Returns the first pictures of mini_jft, uint8 [H, W, 3] each."""
  generator = MiniJft()
  return [generator.example(i).image for i in range(count)]


def omniglot_pictures(archive, count=None):
  """Returns drawings from the zip, evenly chosen, uint8 [H, W, 3] each.

  Raises:
    ValueError: the zip is absent.
  """
  if not os.path.exists(archive):
    raise ValueError(f'Omniglot zip {archive!r} is missing; give --zip=FILE.')
  with zipfile.ZipFile(archive) as z:
    names = sorted(n for n in z.namelist() if n.endswith('.png'))
    step = len(names) // (count or len(names))
    found = [Image.open(io.BytesIO(z.read(n))) for n in names[::step][:count]]
    return [np.asarray(i.convert('RGB')) for i in found]


def encode(pixels, quality):
  """Returns a JPEG of uint8 [H, W, 3] RGB."""
  bgr = np.ascontiguousarray(pixels[..., ::-1])
  return cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]


def write_planted(folder, pictures, planted, num_shards=4):
  """Writes the originals and their copies as split train of a data folder.

  Source ids: N for an original, N/KIND for its copy.

  Args:
    folder: made when absent.
    pictures: uint8 [H, W, 3] each.
    planted: indices of the pictures that get a copy of every kind.
    num_shards: of the split.
  """
  with records.RecordWriter(folder, 'train', num_shards) as writer:
    for i, picture in enumerate(pictures):
      _write(writer, str(i), picture, _BEST)
    for i in planted:
      for kind, (change, quality) in KINDS.items():
        _write(writer, f'{i}/{kind}', change(pictures[i]), quality)
  labels = hierarchy.Hierarchy([0], ['picture'], [()], [1.0])
  manifest.write_manifest(
    folder, name='planted', hierarchy=labels, splits={'train': writer.shards}
  )


def _write(writer, source_id, pixels, quality):
  encoded = encode(pixels, quality).tobytes()
  writer.write(records.Example(encoded, *pixels.shape[:2], source_id, [0], [0]))


@dataclasses.dataclass(frozen=True)
class Outcome:
  """All pairs that any threshold could confirm.

  Attributes:
    pairs: grouping.CONFIRMED [P].
    names: N source ids by number.
    pixels: int [N].
    order: uint64 [N].
    planted: set of the ids of the originals with copies.
  """

  pairs: np.ndarray
  names: list
  pixels: np.ndarray
  order: np.ndarray
  planted: set

  def at(self, radius: int, min_score: float) -> np.ndarray:
    """Returns the pairs that these thresholds confirm."""
    return self.pairs[
      (self.pairs['distance'] <= radius) & (self.pairs['score'] >= min_score)
    ]

  def recall(self, pairs: np.ndarray) -> dict:
    """Returns {kind: share of its copies that pairs join to the original}."""
    hit = dict.fromkeys(KINDS, 0)
    found = set()
    for a, b in zip(pairs['first'].tolist(), pairs['second'].tolist()):
      found.add((self.names[a], self.names[b]))
      found.add((self.names[b], self.names[a]))
    for name in self.names:
      original, _, kind = name.partition('/')
      hit_now = kind and (name, original) in found
      if hit_now:
        hit[kind] += 1
    return {kind: n / len(self.planted) for kind, n in hit.items()}

  def false_drops(self, pairs: np.ndarray) -> list:
    """Returns the ids of the pictures without copies that would go."""
    drops = grouping.drops_within(pairs, self.pixels, self.order)
    names = [self.names[d.number] for d in drops]
    return [n for n in names if '/' not in n and n not in self.planted]

  @property
  def singles(self) -> int:
    """Number of pictures without copies."""
    return sum('/' not in n for n in self.names) - len(self.planted)


def measure(folder, planted, **engine_options) -> Outcome:
  """Looks for copies in a folder of `write_planted`, with loose thresholds."""
  folder = pathlib.Path(folder)
  split = manifest.Dataset.load(folder).split('train')
  all_parts = parts.make_parts([(0, 'train', split)])
  work = folder / 'work'
  work.mkdir()
  # Any score, however low.
  options = pipeline.Options(radius=MAX_RADIUS, min_score=1e-3)
  found = pipeline.find(all_parts, work, options, **engine_options)
  names = [n for part in all_parts for n in parts.ids_of(work, part)]
  facts = np.concatenate(
    [np.load(parts.file_of(work, 'pictures', p.index)) for p in all_parts]
  )
  return Outcome(
    found.pairs,
    names,
    facts['pixels'],
    facts['order'],
    {str(i) for i in planted},
  )


def run(pictures, planted, options, **engine_options):
  """Returns (Outcome, {numbers of the JSON line})."""
  start = time.time()
  with tempfile.TemporaryDirectory() as folder:
    write_planted(folder, pictures, planted)
    outcome = measure(folder, planted, **engine_options)
  pairs = outcome.at(options.radius, options.min_score)
  false = outcome.false_drops(pairs)
  return outcome, {
    'pictures': len(outcome.names),
    'copies_of_each_kind': len(planted),
    'recall': {k: round(v, 4) for k, v in outcome.recall(pairs).items()},
    'false_drops': round(len(false) / outcome.singles, 5),
    'falsely_dropped': false,
    'of_pictures_without_copies': outcome.singles,
    'seconds': round(time.time() - start, 1),
  }


def plot(outcomes, options, path):
  """Draws recall and false drops against the score and the radius."""
  import matplotlib

  matplotlib.use('Agg')
  from matplotlib import pyplot

  figure, axes = pyplot.subplots(
    2, len(outcomes), figsize=(5.2 * len(outcomes), 8.2), squeeze=False
  )
  scores, radii = np.arange(0.3, 1.0, 0.02), np.arange(0, MAX_RADIUS + 1, 2)
  for column, (name, outcome) in enumerate(outcomes.items()):
    by_score = [outcome.at(options.radius, s) for s in scores]
    by_radius = [outcome.at(r, options.min_score) for r in radii]
    _draw(axes[0, column], scores, by_score, outcome, options.min_score)
    _draw(axes[1, column], radii, by_radius, outcome, options.radius)
    axes[0, column].set_title(name)
    axes[0, column].set_xlabel('least score')
    axes[1, column].set_xlabel('most bits between the hashes')
  handles, labels = axes[0, 0].get_legend_handles_labels()
  right, names = figure.axes[-1].get_legend_handles_labels()
  figure.legend(
    [*handles, *right],
    [*labels, *names],
    loc='lower center',
    ncol=3,
    frameon=False,
    fontsize=9,
  )
  figure.tight_layout(rect=(0, 0.1, 1, 1))
  figure.savefig(path, dpi=110)


def _draw(axis, values, pairs, outcome, chosen):
  recalls = [outcome.recall(p) for p in pairs]
  lines = {
    're-encoded, resized or mirrored': GOALS,
    'two of these': ('half_reencode', 'mirror_reencode', 'mirror_half'),
    'cropped 5% at each side': ('crop5', 'mirror_crop5'),
    'cropped 10% at each side': ('crop10',),
    'cropped at one or two sides': ('crop5_corner', 'crop10_bottom'),
  }
  for (label, kinds), colour in zip(lines.items(), _COLOURS):
    means = [np.mean([r[k] for k in kinds]) for r in recalls]
    axis.plot(values, means, color=colour, label=label)
  axis.axvline(
    chosen, color='black', linewidth=0.9, linestyle=':', label='default'
  )
  axis.set_ylabel('recall')
  axis.set_ylim(0, 1.02)
  axis.grid(alpha=0.3)
  right = axis.twinx()
  false = [100 * len(outcome.false_drops(p)) / outcome.singles for p in pairs]
  right.plot(values, false, '--', color='#b2182b', label='false drops')
  right.axhline(
    0.1,
    color='#b2182b',
    linewidth=0.9,
    linestyle=':',
    label='at most 0.1%',
  )
  right.set_ylim(0, 1.02)
  right.set_ylabel('false drops, %', color='#b2182b')


def main(_):
  """Measures both sets and prints the line."""
  machine.prepare()
  values = flags.FLAGS
  options = pipeline.Options()
  sets = {
    'mini_jft': (mini_pictures(2000), range(0, 2000, 4)),
    'Omniglot': (omniglot_pictures(values.zip), range(0, 2600, 13)),
  }
  outcomes, line = {}, {'benchmark': 'dedup_recall'}
  run_set = functools.partial(run, options=options, processes=values.processes)
  for name, (pictures, planted) in sets.items():
    outcomes[name], line[name] = run_set(pictures, planted)
  if values.plot:
    plot(outcomes, options, values.plot)
  line['goal_met'] = all(
    min(line[name]['recall'][k] for k in GOALS) >= 0.95
    and line[name]['false_drops'] <= 0.001
    for name in sets
  )
  machine.print_line(line)


if __name__ == '__main__':
  flags.DEFINE_string('zip', DEFAULT_ZIP, 'images_background_small1.zip.')
  flags.DEFINE_string('plot', None, 'PNG to draw the curves to.')
  core_flags.define_beam_flags()
  core_flags.run(main, beam=True)
