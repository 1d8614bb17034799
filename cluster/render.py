r"""Writes what a cluster runs, from one small description of a job.

  python -m cluster.render --spec=job.yaml --output=DIR --target=tfjob

  tfjob    DIR/NAME-tfjob.yaml, for Kubeflow's training operator
  jobset   DIR/NAME-jobset.yaml, for Kubernetes with JobSet
  slurm    DIR/NAME.sbatch

and DIR/NAME-tensorboard.yaml where the spec wants a TensorBoard. What a spec
holds is in cluster/spec.py, one for each training binary in cluster/examples/.
Start it with `kubectl apply -f FILE`, or `sbatch FILE` in the project's folder.
"""

import os

from absl import flags

from cluster import command, jobset, pods, slurm, spec, tfjob
from cluster import job as job_lib
from official_repro.core import flags as core_flags

TARGETS = {
  'tfjob': tfjob.render,
  'jobset': jobset.render,
  'slurm': slurm.render,
}
_TENSORBOARD_NOTE = """\
# kubectl --namespace={namespace} port-forward service/{name}-tensorboard 6006
# shows it at http://localhost:6006
"""


def render(job: job_lib.JobSpec, target: str) -> dict:
  """Returns {file name: text}.

  Args:
    job: from spec.load.
    target: one of TARGETS.

  Raises:
    ValueError: the job cannot run there.
  """
  files = TARGETS[target](job)
  if job.tensorboard and target != 'slurm':
    note = _TENSORBOARD_NOTE.format(namespace=job.namespace, name=job.name)
    text = pods.to_yaml(pods.tensorboard(job), note)
    files = {**files, f'{job.name}-tensorboard.yaml': text}
  return files


def write(files: dict, output: str, overwrite: bool = False) -> list:
  """Writes all files or, when something is wrong, none.

  Args:
    files: {name: text}.
    output: folder, made if need be.
    overwrite: replace files of the same names.

  Returns:
    Their paths.

  Raises:
    ValueError: one of them exists and is not to be overwritten.
    OSError: the folder cannot be written.
  """
  paths = {os.path.join(output, name): text for name, text in files.items()}
  there = [path for path in paths if os.path.lexists(path)]
  if there and not overwrite:
    raise ValueError(
      f'File {there[0]!r} exists; give --overwrite, or another --output.'
    )
  os.makedirs(output, exist_ok=True)
  temporary = {path + '.tmp': path for path in paths}
  try:
    for name, path in temporary.items():
      with open(name, 'w', encoding='utf-8') as f:
        f.write(paths[path])
    for name, path in temporary.items():
      os.replace(name, path)
  finally:
    for name in temporary:
      if os.path.exists(name):
        os.remove(name)
  return list(paths)


def main(_):
  """Parses flags, renders, tells what was written."""
  values = flags.FLAGS
  for name in ('spec', 'output', 'target'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing: {values[name].help}')
  job = spec.load(values.spec)
  files = render(job, values.target)
  # Last, as it takes TensorFlow's import.
  command.check_experiment(job.module, str(job.flags['experiment']))
  for path in write(files, values.output, values.overwrite):
    print(path)


def define_flags():
  """Defines the flags of this binary."""
  d = flags
  d.DEFINE_string('spec', None, 'YAML file that describes the job.')
  d.DEFINE_string('output', None, 'Folder to write to.')
  d.DEFINE_enum('target', None, list(TARGETS), 'What is to run the job.')
  d.DEFINE_bool('overwrite', False, 'Replace files that exist.')


if __name__ == '__main__':
  define_flags()
  core_flags.run(main)
