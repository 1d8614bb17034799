r"""Checks a data folder: every shard, every record, every label and box.

python -m official_repro.verify DIR
"""

import csv
import os
import pathlib
import sys

from absl import flags

from official_repro.core import flags as core_flags

REPORT = 'verify.csv'


def define_flags() -> None:
  """Defines the flags of this binary."""
  d = flags
  d.DEFINE_string('data_dir', None, 'Folder with dataset.json.')
  d.DEFINE_string(
    'output',
    None,
    f'Folder for {REPORT}, which lists all that is wrong. With --runner it has '
    'to be one that all workers reach.',
  )
  d.DEFINE_integer('max_listed', 100, 'How much of it to print.', lower_bound=0)
  core_flags.define_beam_flags()


def main(argv) -> None:
  """Checks the folder, lists what is wrong, and fails if there is anything."""
  del argv
  # Here, as Beam takes seconds to import and --help does not need it.
  from official_repro.data.checks import verify

  values = flags.FLAGS
  if not values.data_dir:
    raise ValueError('Which data folder? python -m official_repro.verify DIR')
  result = verify.verify(
    values.data_dir, work_dir=values.output, **core_flags.beam_options()
  )
  findings = result.findings
  if values.output:
    _write(pathlib.Path(values.output), findings)
  for finding in findings[: values.max_listed]:
    print(finding)
  left = len(findings) - values.max_listed
  if left > 0:
    print(f'... and {left:,} more; --output=DIR lists all in {REPORT}.')
  counted = f'{result.records:,} records in {result.shards:,} shards'
  if not findings:
    print(f'{values.data_dir}: {counted} are sound.')
    return
  sys.stdout.flush()
  raise ValueError(
    f'{values.data_dir}: {len(findings):,} thing(s) wrong in '
    f'{len({f.file for f in findings}):,} file(s); {counted} were read.'
  )


def _write(folder, findings):
  folder.mkdir(parents=True, exist_ok=True)
  temporary = folder / f'.{REPORT}.tmp'
  with open(temporary, 'w', encoding='utf-8', newline='') as f:
    rows = csv.writer(f, lineterminator='\n')
    rows.writerow(('file', 'record', 'source_id', 'what'))
    rows.writerows((x.file, x.record, x.source_id, x.what) for x in findings)
  os.replace(temporary, folder / REPORT)


def with_flag(argv: list) -> list:
  """Writes a folder that comes first or last as the flag --data_dir."""
  argv = list(argv)
  # Last, only behind --name=value: behind --name it would be its value.
  for place, after in ((1, ''), (len(argv) - 1, '=')):
    if (
      place > 0
      and len(argv) > place
      and not argv[place].startswith('-')
      and (place == 1 or after in argv[place - 1])
    ):
      argv[place] = f'--data_dir={argv[place]}'
  return argv


if __name__ == '__main__':
  define_flags()
  sys.argv = with_flag(sys.argv)
  core_flags.run(main, beam=True)
