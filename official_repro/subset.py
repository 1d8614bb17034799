r"""Makes a subset of a data folder: a small folder over the same records.

python -m official_repro.subset --data_dir=DIR --output=OUT --fraction=0.1
python -m official_repro.subset --data_dir=DIR --output=OUT --labels=FILE
python -m official_repro.subset --data_dir=DIR --output=OUT --having=FILE
"""

from absl import flags

from official_repro.core import flags as core_flags

_PAPER_BATCH = 32  # of one worker: Sun et al. 2017, sec. 4


def define_flags() -> None:
  """Defines the flags of this binary."""
  d = flags
  d.DEFINE_string('data_dir', None, 'Folder with dataset.json.')
  d.DEFINE_string('output', None, 'Folder of the subset.')
  d.DEFINE_string('split', 'train', 'Split that is made smaller.')
  d.DEFINE_float(
    'fraction',
    1.0,
    'Share of the records, by a hash of the source id; each smaller share '
    'lies in the larger ones.',
  )
  d.DEFINE_integer('num_images', None, 'Instead of --fraction: how many.')
  d.DEFINE_string(
    'labels',
    None,
    'File with label names or ids, one a line, that stay; images with none of '
    'them drop out of every split.',
  )
  d.DEFINE_list(
    'having',
    [],
    'Such files: images of --split with none of the labels of a file drop out, '
    'but keep all of theirs otherwise. To compare vocabularies on the same '
    'images.',
  )
  d.DEFINE_integer('seed', 0, 'Another number chooses other records.')
  d.DEFINE_bool('overwrite', False, 'Replace the subset in --output.')
  core_flags.define_beam_flags()


def main(argv) -> None:
  """Makes the subset that the flags ask for and prints its numbers."""
  del argv
  # Here, as Beam takes seconds to import and --help does not need it.
  from official_repro.data import manifest, vocabulary
  from official_repro.data.subsets import choosing

  values = flags.FLAGS
  for name in ('data_dir', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing; --help lists the flags.')
  labels, having = None, []
  if values.labels is not None or values.having:
    hierarchy = manifest.Dataset.load(values.data_dir).hierarchy
    having = [vocabulary.read_labels(f, hierarchy) for f in values.having]
  if values.labels is not None:
    labels = vocabulary.read_labels(values.labels, hierarchy)
  choice = choosing.Choice(
    split=values.split,
    fraction=values.fraction,
    num_images=values.num_images,
    labels=labels,
    having=having,
    seed=values.seed,
  )
  report = choosing.make_subset(
    values.data_dir,
    values.output,
    choice,
    overwrite=values.overwrite,
    **core_flags.beam_options(),
  )
  _print(report, values)


def _print(report, values):
  for split, (kept, of) in report.records.items():
    print(f'{split}: {kept:,} of {of:,} records ({kept / max(of, 1):.2%})')
  if values.labels is not None:
    print('labels: {:,} of {:,}'.format(*report.classes))
  if report.damaged:
    print(
      f'{report.damaged:,} damaged records are left out; '
      f'python -m official_repro.verify --data_dir={values.data_dir} '
      'lists them.'
    )
  kept, _ = report.records[values.split]
  print(
    f'{values.output}: one epoch is {-(-kept // _PAPER_BATCH):,} steps at '
    f'batch {_PAPER_BATCH}; train with --epochs=E to count in passes.'
  )


if __name__ == '__main__':
  define_flags()
  core_flags.run(main, beam=True)
