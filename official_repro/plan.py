r"""Plans a run on a cluster, on paper: storage, memory, traffic, days, cost.

python -m official_repro.plan --experiment=jft300m_resnet101 --workers=50 \
    --ps=17 --gpu=k80 --network_gbps=10
"""

import dataclasses
import difflib
import json

from absl import flags

from official_repro.core import flags as core_flags
from official_repro.planning import machines


def define_flags() -> None:
  """Defines the flags of this binary."""
  d = flags
  d.DEFINE_string(
    'experiment',
    None,
    'Preset of official_repro.train; "list" prints them. Those of '
    'object_detection, deeplab and pose are not covered.',
  )
  d.DEFINE_integer('workers', 50, 'GPUs, each of them a worker.')
  d.DEFINE_integer('ps', 17, 'Parameter servers.')
  d.DEFINE_string('gpu', 'k80', f'One of {", ".join(machines.GPUS)}.')
  d.DEFINE_float(
    'network_gbps', 10, 'Link of each machine, Gbit/s in each direction.'
  )
  d.DEFINE_enum(
    'precision', 'float32', machines.PRECISIONS, 'Of the arithmetic.'
  )
  d.DEFINE_enum(
    'placement',
    None,
    ['in_turn', 'by_size'],
    'How variables are dealt out to the servers: by_size, as training does '
    '(the default), or in_turn, as tf.distribute does. The plan shows both and '
    'counts with this.',
  )
  d.DEFINE_float(
    'utilisation',
    None,
    'Share of the peak that the network gets, e.g. 0.4. Default: from public '
    'training rates.',
  )
  d.DEFINE_float('images', None, "Training images. Default: the paper's.")
  d.DEFINE_integer('classes', None, "Labels. Default: the paper's.")
  d.DEFINE_float(
    'bytes_per_image', None, 'Of an encoded picture. Default: as photos have.'
  )
  d.DEFINE_integer('batch_size', None, 'Images of a step of ONE worker.')
  d.DEFINE_integer(
    'train_steps', None, 'Steps of all workers together, each of one batch.'
  )
  d.DEFINE_string('params_override', '', 'YAML over the preset.')
  d.DEFINE_float('price_per_gpu_hour', None, 'Of one GPU, to tell the cost.')
  d.DEFINE_string('json', None, 'File for all numbers.')


def main(argv) -> None:
  """Prints the plan; writes --json."""
  del argv
  values = flags.FLAGS
  gpu = machines.find(values.gpu)
  gpu.check(values.precision)
  # Here, as TensorFlow takes seconds to import and --help does not need it.
  from official_repro import experiments
  from official_repro.core import config as config_lib
  from official_repro.planning import as_json, estimate, report, traffic

  presets = experiments.EXPERIMENTS
  if values.experiment == 'list':
    for name, preset in presets.items():
      print(f'{name:32s} {preset.__doc__.strip().splitlines()[0]}')
    return
  config = config_lib.resolve(
    _lookup(presets, values.experiment)(),
    params_override=values.params_override,
    flag_values=_overrides(values),
  )
  cluster = estimate.Cluster(
    workers=values.workers,
    servers=values.ps,
    gpu=gpu,
    network_gbps=values.network_gbps,
    precision=values.precision,
    placement=values.placement or traffic.DEFAULT_PLACEMENT,
    utilisation=values.utilisation,
    price=values.price_per_gpu_hour,
  )
  facts = _facts(values, config)
  plan = estimate.make_plan(values.experiment, config, facts, cluster)
  print(report.text(plan))
  if values.json:
    with open(values.json, 'w', encoding='utf-8') as f:
      json.dump(as_json.as_json(plan), f, indent=2, ensure_ascii=False)
      f.write('\n')


def _lookup(presets, name):
  if not name:
    raise ValueError(
      f'Flag --experiment is missing: choose one of {", ".join(presets)}.'
    )
  if name in presets:
    return presets[name]
  near = difflib.get_close_matches(name, presets, 1, cutoff=0.6)
  hint = f'did you mean {near[0]}?' if near else '--experiment=list shows all.'
  raise ValueError(
    f'Unknown experiment {name!r}; {hint} Presets of object_detection, deeplab '
    'and pose are not covered.'
  )


def _overrides(values):
  keys = {
    'batch_size': 'task.train_data.global_batch_size',
    'train_steps': 'trainer.train_steps',
  }
  return {
    key: values[flag].value
    for flag, key in keys.items()
    if values[flag].value is not None
  }


def _facts(values, config):
  from official_repro.planning import data_facts

  facts = data_facts.of_experiment(values.experiment)
  classes = values.classes
  if classes is None:
    classes = config.task.model.num_classes or facts.classes
  return dataclasses.replace(
    facts,
    images=facts.images if values.images is None else values.images,
    classes=classes,
    bytes_per_image=values.bytes_per_image,
  )


if __name__ == '__main__':
  define_flags()
  core_flags.run(main)
