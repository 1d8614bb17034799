"""Real pictures through the csv source: Omniglot, alphabet > character.

  python -m benchmarks.omniglot --zip=images_background_small1.zip

Of the 20 drawings of a character the last 4 are for evaluation. Prints one
JSON line: top-1 and top-5 accuracy of the character, and chance. The zip is
from github.com/brendenlake/omniglot (MIT licence).
"""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

from absl import flags

from benchmarks import machine
from official_repro.core import flags as core_flags

HELD_OUT = 4
DRAWINGS = 20
DEFAULT_ZIP = '../shared/data/omniglot/images_background_small1.zip'


def write_tables(archive: str, folder: pathlib.Path) -> int:
  """Unpacks the drawings and writes labels.tsv and images.csv.

  Args:
    archive: path of the zip, ROOT/ALPHABET/CHARACTER/NUMBER_DRAWING.png.
    folder: where to put it all.

  Returns:
    The number of characters.

  Raises:
    ValueError: the zip is absent or holds no drawings.
  """
  if not os.path.exists(archive):
    raise ValueError(f'Omniglot zip {archive!r} is missing; give --zip=FILE.')
  with zipfile.ZipFile(archive) as z:
    z.extractall(folder)
    drawings = sorted(n for n in z.namelist() if n.endswith('.png'))
  if not drawings:
    raise ValueError(f'{archive!r} holds no drawings (*.png).')
  characters = sorted({n.rsplit('/', 1)[0] for n in drawings})
  alphabets = sorted({c.split('/')[-2] for c in characters})
  with open(folder / 'labels.tsv', 'w', encoding='utf-8') as f:
    f.write('id\tname\tparent_ids\tweight\n')
    for i, alphabet in enumerate(alphabets):
      f.write(f'{i}\t{alphabet}\t\t1\n')
    for i, character in enumerate(characters):
      alphabet, name = character.split('/')[-2:]
      f.write(
        f'{len(alphabets) + i}\t{alphabet} {name}\t'
        f'{alphabets.index(alphabet)}\t1\n'
      )
  with open(folder / 'images.csv', 'w', newline='', encoding='utf-8') as f:
    writer = csv.writer(f)
    writer.writerow(['image', 'labels', 'split'])
    for drawing in drawings:
      alphabet, name = drawing.split('/')[-3:-1]
      number = int(drawing.rsplit('_', 1)[1].split('.')[0])
      split = 'validation' if number > DRAWINGS - HELD_OUT else 'train'
      writer.writerow([drawing, f'{alphabet} {name}', split])
  return len(characters)


def run(archive: str, folder: pathlib.Path, steps: int) -> dict:
  """Builds the records, trains from scratch; returns the result line."""
  start = time.time()
  characters = write_tables(archive, folder)
  _call(
    'build_records',
    source='csv',
    csv=folder / 'images.csv',
    labels=folder / 'labels.tsv',
    output=folder / 'data',
  )
  rate = 'trainer.optimizer_config.learning_rate.cosine.decay_steps'
  _call(
    'train',
    experiment='mini_finetune',
    data_dir=folder / 'data',
    model_dir=folder / 'run',
    train_steps=steps,
    params_override=f'{rate}={steps},trainer.validation_interval={steps}',
  )
  lines = (folder / 'run' / 'metrics.jsonl').read_text().splitlines()
  metrics = json.loads(lines[-1])['metrics']
  chance = 1 / characters
  return {
    'benchmark': 'omniglot',
    'characters': characters,
    'top1': round(metrics['top1'], 4),
    'top5': round(metrics['top5'], 4),
    'chance': round(chance, 4),
    'ratio': round(metrics['top1'] / chance, 1),
    'steps': steps,
    'seconds': round(time.time() - start, 1),
  }


def _call(binary, **options):
  words = [f'--{k}={v}' for k, v in options.items()]
  command = [sys.executable, '-m', f'official_repro.{binary}', *words]
  done = subprocess.run(command, stdout=sys.stderr, check=False)
  if done.returncode:
    raise ValueError(f'{binary} ended with exit code {done.returncode}.')


def main(_):
  """Runs the benchmark in a temporary folder and prints its line."""
  machine.prepare()
  values = flags.FLAGS
  with tempfile.TemporaryDirectory() as folder:
    result = run(values.zip, pathlib.Path(folder), values.train_steps)
  machine.print_line(result)


if __name__ == '__main__':
  flags.DEFINE_string('zip', DEFAULT_ZIP, 'images_background_small1.zip.')
  flags.DEFINE_integer('train_steps', 600, 'Optimizer steps.', 1)
  core_flags.run(main)
