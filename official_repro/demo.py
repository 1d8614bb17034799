"""Pre-training on a laptop: generate, pre-train, evaluate, look.

  python -m official_repro.demo --output=runs/demo-quick

Each step is one of the public commands, shown before it runs.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time

import numpy as np
from absl import flags

from official_repro.core import flags as core_flags
from official_repro.scaling import presets

METRIC = 'mAP@100'
# Training images whose true labels tell how noisy the given ones are.
CLEAN_IMAGES = 1000


def run_demo(output: str, images: int, steps: int) -> None:
  """Runs the whole demo into `output`, replacing an earlier demo there.

  Args:
    output: folder for data, runs and pictures.
    images: training images to generate.
    steps: optimizer steps of each of the two runs.

  Raises:
    ValueError: `output` holds something else than a demo.
  """
  start = time.time()
  _prepare(output)
  data = os.path.join(output, 'data')
  _call(
    'build_records',
    source='mini_jft',
    num_images=images,
    eval_images=1000,
    clean_images=min(CLEAN_IMAGES, images),
    output=data,
  )
  runs = {'filled': 'hierarchy fill-in', 'given': 'labels as given'}
  for labels, title in runs.items():
    print(f'\nPre-training on {title}')
    _call(
      'train',
      experiment='mini_jft',
      data_dir=data,
      model_dir=os.path.join(output, labels),
      train_steps=steps,
      params_override=json.dumps(_override(labels, steps)),
    )
  pictures = _save_pictures(data, os.path.join(output, 'pictures'))
  _call(
    'predict',
    model_dir=os.path.join(output, 'filled'),
    images=pictures,
    output=os.path.join(output, 'predictions'),
  )
  _report(output, data, images, steps, time.time() - start)


def _override(labels, steps):
  preset = presets.find(presets.TRAIN, 'mini_jft')
  trainer = preset.stretched(steps).get('trainer', {})
  return {
    'task': {'train_data': {'labels': labels}},
    'trainer': {**trainer, 'validation_interval': max(steps // 4, 1)},
  }


def _prepare(output):
  marker = os.path.join(output, '.demo')
  if os.path.isdir(output) and os.listdir(output):
    if not os.path.exists(marker):
      raise ValueError(
        f'Folder --output {output!r} is not empty and was not made by the '
        'demo; choose another.'
      )
    shutil.rmtree(output)
  os.makedirs(output, exist_ok=True)
  with open(marker, 'w', encoding='utf-8') as f:
    f.write('Made by official_repro.demo, which may delete this folder.\n')


def _call(binary, **options):
  words = [f'--{k}={v}' for k, v in options.items()]
  command = ['python', '-m', f'official_repro.{binary}', *words]
  print(f'\n$ {shlex.join(command)}', flush=True)
  done = subprocess.run([sys.executable, *command[1:]], check=False)
  if done.returncode:
    raise ValueError(
      f'The command above ended with exit code {done.returncode}.'
    )


def _save_pictures(data, folder, count=24):
  """Writes some evaluation pictures as files, as a user's own would be."""
  from official_repro.data import records

  os.makedirs(folder)
  for i, record in enumerate(records.iterate_records(data, 'validation')):
    if i == count:
      break
    example = records.decode_example(record)
    kind = 'png' if example.encoded[:4] == b'\x89PNG' else 'jpg'
    with open(os.path.join(folder, f'{i:03d}.{kind}'), 'wb') as f:
      f.write(example.encoded)
  return folder


def _history(model_dir):
  """Returns [(examples seen, mAP)] of a run."""
  with open(os.path.join(model_dir, 'metrics.jsonl'), encoding='utf-8') as f:
    lines = [json.loads(line) for line in f]
  return [(x['examples_seen'], x['metrics'][METRIC]) for x in lines]


def _report(output, data, images, steps, seconds):
  from official_repro import baseline

  prior = baseline.prior_mean_average_precision(data)
  filled = _history(os.path.join(output, 'filled'))
  given = _history(os.path.join(output, 'given'))
  curve = os.path.join(output, 'curve.png')
  _plot(curve, filled, given, prior)
  best, other = filled[-1][1], given[-1][1]
  rows = [
    ('label prior (never looks at the picture)', prior),
    ('trained on the labels as given', other),
    ('trained with hierarchy fill-in', best),
  ]
  print(f'\n{METRIC} on the densely labelled evaluation split')
  for title, value in rows:
    print(f'  {title:42s} {value:.4f}  ({value / prior:4.1f} x prior)')
  with open(os.path.join(output, 'result.json'), 'w', encoding='utf-8') as f:
    json.dump(
      {
        'images': images,
        'steps': steps,
        'seconds': round(seconds, 1),
        'prior': prior,
        'given': other,
        'filled': best,
      },
      f,
      indent=1,
    )
  print(f'\nDone in {seconds / 60:.1f} min. Look at:')
  print(f'  {os.path.join(data, "report.html")}   what is in the data')
  print(f'  {curve}   training curve')
  print(f'  {os.path.join(output, "predictions")}/   annotated pictures')
  tensorboard = os.path.join(os.path.dirname(sys.executable), 'tensorboard')
  print(f'  {os.path.relpath(tensorboard)} --logdir={output}')


def _plot(path, filled, given, prior):
  import matplotlib

  matplotlib.use('Agg')
  from matplotlib import pyplot

  figure, axes = pyplot.subplots(figsize=(7, 4.2), layout='constrained')
  for points, title, style in (
    (filled, 'with hierarchy fill-in', 'o-'),
    (given, 'labels as given', 's--'),
  ):
    x, y = np.array(points).T
    axes.plot(x, y, style, label=title)
    axes.annotate(
      f'{y[-1]:.3f}',
      (x[-1], y[-1]),
      xytext=(0, 8),
      textcoords='offset points',
      ha='center',
    )
  axes.axhline(prior, color='grey', linestyle=':', label='label prior')
  axes.set_xlabel('training images seen')
  axes.set_ylabel(METRIC)
  axes.set_ylim(0, max(y for _, y in filled + given) * 1.15)
  axes.margins(x=0.08)
  axes.set_title('mini_jft: class-weighted mAP@100, dense evaluation split')
  axes.grid(alpha=0.3)
  figure.legend(loc='outside lower center', ncols=3)
  figure.savefig(path, dpi=120)
  pyplot.close(figure)


def main(_):
  """Parses flags and runs the demo."""
  values = flags.FLAGS
  run_demo(values.output, values.num_images, values.train_steps)


if __name__ == '__main__':
  flags.DEFINE_string('output', 'runs/demo-quick', 'Folder for everything.')
  flags.DEFINE_integer('num_images', 12_000, 'Training images.', 100)
  flags.DEFINE_integer('train_steps', 1000, 'Steps of each run.', 1)
  core_flags.run(main)
