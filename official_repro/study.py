r"""Runs an experiment of the paper, from data to report.

python -m official_repro.study --spec=mini_data_size --output=runs/data_size \
    --dry_run
python -m official_repro.study --spec=FILE --output=DIR
python -m official_repro.study --spec=FILE --output=DIR \
    --publish=docs/results/NAME

A study is a list of runs of the other binaries, each in a process of its own.
The same command goes on after a stop, a failure, or a change of the spec.
"""

import pathlib

from absl import flags

from official_repro.core import flags as core_flags

_SPECS = pathlib.Path(__file__).parent / 'scaling' / 'specs'


def define_flags() -> None:
  """Defines the flags of this binary."""
  d = flags
  d.DEFINE_string(
    'spec', None, 'YAML file of the study, or a name that --spec=list prints.'
  )
  d.DEFINE_string('output', None, 'Folder of the study.')
  d.DEFINE_string(
    'data_root', None, "Folder of the spec's data. Default: that of the file."
  )
  d.DEFINE_bool('dry_run', False, 'Print the runs and the time, run nothing.')
  d.DEFINE_integer('jobs', 1, 'Runs at a time.', lower_bound=1)
  d.DEFINE_bool(
    'rerun_stale', False, 'Delete runs of another command and repeat them.'
  )
  d.DEFINE_bool('keep_stale', False, 'Leave runs of another command.')
  d.DEFINE_list(
    'reuse',
    [],
    'Folders of other studies, comma-separated: a finished run of the same '
    'command on the same data is taken from there, not run again.',
  )
  d.DEFINE_enum(
    'render_target',
    None,
    ['tfjob', 'jobset', 'slurm'],
    'Instead of running it, write each run as a job of a cluster.',
  )
  d.DEFINE_string(
    'publish',
    None,
    'Instead of running it, write the results that are there to this folder, '
    'to be committed: report.md, plots, results.csv, without absolute paths.',
  )


def main(_) -> None:
  """Runs, plans or renders the study that the flags ask for."""
  values = flags.FLAGS
  if values.spec == 'list':
    _print_specs()
    return
  for name in ('spec', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing; --help lists the flags.')
  asked = [
    n for n in ('dry_run', 'render_target', 'publish') if values[n].value
  ]
  if len(asked) > 1:
    raise ValueError(
      f'Flags {" and ".join(f"--{n}" for n in asked)}: give one of them.'
    )
  # Here, as the report's libraries take a second and --help does not need them.
  from official_repro.scaling import running
  from official_repro.scaling import spec as spec_lib

  spec = spec_lib.load(*_place(values.spec, values.data_root))
  if values.dry_run:
    print(running.dry_run(spec, values.output, values.jobs, values.reuse))
  elif values.render_target:
    _render(spec, values)
  elif values.publish:
    _publish(spec, values)
  else:
    running.run(
      spec,
      values.output,
      running.Options(
        values.jobs,
        values.rerun_stale,
        values.keep_stale,
        tuple(values.reuse),
      ),
    )


def _place(name, data_root):
  """Returns (file, data root) of a spec, which may be one of ours by name."""
  ours = _SPECS / f'{name}.yaml'
  if pathlib.Path(name).is_file() or not ours.is_file():
    return name, data_root
  return str(ours), data_root or '.'


def _print_specs():
  from official_repro.scaling import spec as spec_lib

  for path in sorted(_SPECS.glob('*.yaml')):
    print(f'{path.stem:24s} {spec_lib.load(str(path)).title}')


def _render(spec, values):
  from official_repro.scaling import jobs, running

  _, state = running.planned(spec, values.output)
  folder = jobs.default_folder(values.output)
  paths, left_out = jobs.write(state, values.render_target, folder)
  for path in paths:
    print(path)
  if left_out:
    print(
      f'{len(left_out)} runs are left out, whose steps or learning rate depend '
      f'on earlier ones: {left_out[0]} and so on; render again after those.'
    )


def _publish(spec, values):
  from official_repro.scaling import publish

  for path in publish.publish(spec, values.spec, values.output, values.publish):
    print(path)


if __name__ == '__main__':
  define_flags()
  core_flags.run(main)
