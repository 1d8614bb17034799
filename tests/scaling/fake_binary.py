"""Stands in for the binaries that a study starts, without TensorFlow.

python -m tests.scaling.fake_binary MODULE --FLAG=VALUE ...

With --output it makes dataset.json, else it trains: a checkpoint, then a line
in metrics.jsonl with every metric. The file that the variable FAKE_PLAN names
holds {part of a folder's path: what happens there}:

  fail    prints lines, ends with 3
  stop    ends with 143
  save    waits for SIGTERM, leaves a checkpoint, ends with 143; where there is
          one it ends well
  cut     leaves half a line in metrics.jsonl, ends with 1
  short   ends with 0 and an evaluation of the first step
  nan     a metric that is not finite

Each start adds a line to `starts` in its folder.
"""

import json
import math
import os
import pathlib
import signal
import sys

METRICS = (
  'AP',
  'AP50',
  'AP/gt_boxes',
  'mAP',
  'mAP@100',
  'mIoU',
  'top1',
  'top5',
)


def _plan(folder):
  path = os.environ.get('FAKE_PLAN', '')
  plan = json.loads(pathlib.Path(path).read_text()) if path else {}
  return next((v for k, v in plan.items() if k in str(folder)), '')


def _make_data(values, folder):
  records = int(values.get('num_images', 1000))
  if 'data_dir' in values and 'num_images' not in values:
    before = json.loads(
      pathlib.Path(values['data_dir'], 'dataset.json').read_text()
    )
    records = before['splits']['train']['records']
    records = int(records * float(values.get('fraction', 1)))
  content = {'splits': {'train': {'records': records}}}
  (folder / 'labels.tsv').write_text(
    'id\tname\tparent_ids\tweight\n0\tanimal\t\t1\n1\tcat\t0\t1\n2\tdog\t0\t1\n'
  )
  (folder / 'dataset.json').write_text(json.dumps(content))


def value_of(rate, seed):
  """The best learning rate is 1e-3; seeds differ by .01."""
  return 1 - abs(math.log10(float(rate)) + 3) / 10 + int(seed) / 100


def _line(step, value):
  return json.dumps(
    {
      'step': step,
      'examples_seen': 4 * step,
      'split': 'validation',
      'metrics': dict.fromkeys(METRICS, value),
    }
  )


def _train(values, folder, action):
  steps = int(values.get('train_steps', 1000))
  value = value_of(values.get('learning_rate', 1e-3), values['seed'])
  (folder / 'checkpoint').write_text(f'ckpt-{steps}')
  with open(folder / 'metrics.jsonl', 'a') as f:
    if action == 'cut':
      f.write(_line(steps, value)[:20])
      sys.exit(1)
    step = 1 if action == 'short' else steps
    f.write(_line(step, None if action == 'nan' else value) + '\n')


def main():
  module, *words = sys.argv[1:]
  values = dict(word[2:].split('=', 1) for word in words)
  folder = pathlib.Path(values.get('output') or values['model_dir'])
  action = _plan(folder)
  if action == 'save':  # before anyone can know that it has started
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
  folder.mkdir(parents=True, exist_ok=True)
  print(f'{module} {words}', flush=True)
  with open(folder / 'starts', 'a') as f:
    f.write('start\n')
  if action == 'fail':
    print('Error: the third line from below\nsecond\nit is broken')
    sys.exit(3)
  if action == 'stop':
    sys.exit(143)
  if action == 'save' and not (folder / 'checkpoint').exists():
    signal.sigwait([signal.SIGTERM])
    (folder / 'checkpoint').write_text('ckpt-1')
    sys.exit(143)
  if 'output' in values:
    _make_data(values, folder)
  else:
    _train(values, folder, action)


if __name__ == '__main__':
  main()
