"""A study as jobs of a cluster: a file for each training, a script in order."""

import hashlib
import os
import re
import shlex

from cluster import render, spec
from official_repro.scaling import commands
from official_repro.scaling import folder as folder_lib
from official_repro.scaling import run as run_lib
from official_repro.scaling import state as state_lib

SCRIPT = 'submit.sh'
_HEAD = """\
#!/bin/bash
# The runs of the study {name} that are not done, in order. Written by
# python -m official_repro.study --render_target={target}. Start it in the
# project's folder, where the folders of the volumes are seen.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"""
# What an end without error is called.
_SUCCESS = {'tfjob': 'Succeeded', 'jobset': 'Completed'}
_NAME_LENGTH = 40


def write(
  state: state_lib.State, target: str, folder: str
) -> tuple[list[str], list[str]]:
  """Writes the jobs of the runs that are not done.

  Data is made by commands in the script, which needs the volumes too. A run
  whose steps or learning rate are not known yet is left out, and what depends
  on it: they are once the script has run, and the study is rendered again. Each
  run's folder gets the record that a run of the study has, so that the study
  knows later what was made, and by which command.

  Args:
    state: the study's, with the key cluster in its spec.
    target: one of cluster.render.TARGETS.
    folder: gets the files.

  Returns:
    (paths written, ids of the runs that were left out).

  Raises:
    ValueError: the spec has no cluster, a job cannot run there, a run was made
      by another command, or another process works in the study's folder.
  """
  if not state.spec.cluster:
    raise ValueError(
      'Key cluster of the spec is missing; --render_target needs at least its '
      'image and volumes, see cluster/spec.py.'
    )
  files, jobs, begun, left_out = {}, {}, [], []
  script = [_HEAD.format(name=state.spec.name, target=target)]
  for number, run in enumerate(state.runs.values()):
    status = state.status(run)
    if status == state_lib.DONE:
      continue
    if status == state_lib.STALE:  # its job would go on from what is there
      raise ValueError(
        f'Run {run.run_id} was made by another command than that of the spec; '
        f'delete {run.folder!r}, or render to another --output.'
      )
    flags = state.flags(run)
    late = flags is None or run.lists
    if late or not set(left_out).isdisjoint(run.depends):
      left_out.append(run.run_id)
      if run.length:  # what is wrong with the cluster is told at once
        _job(state, run, dict(run.flags), target, f'{number:03d}')
      continue
    begun.append(run)
    if run.stage == run_lib.DATA:
      script.append(_make(run, state.rates))
    else:
      name, rendered = _job(state, run, flags, target, f'{number:03d}')
      files.update(rendered)
      jobs[run.run_id] = (name, tuple(rendered))
      script += [f'# {run.run_id}', *_submit(state, run, jobs, target)]
  files[SCRIPT] = '\n'.join(script) + '\n'
  with folder_lib.held(state.output, state.spec):
    for run in begun:  # once all can be rendered
      state.begin(run, on_cluster=True)
  return render.write(files, folder, overwrite=True), left_out


def _make(run, rates):
  """Returns the command of a data folder, which is not made twice."""
  made = shlex.quote(os.path.join(run.output, 'dataset.json'))
  return f'test -e {made} || {commands.shown(run, rates)}'


def _job(state, run, flags, target, number):
  # Names of jobs are short; the number keeps them apart.
  name = re.sub('[^a-z0-9]+', '-', f'{state.spec.name}-{run.task}')
  name = f'{name[: _NAME_LENGTH - 4].strip("-")}-{number}'
  content = {
    **state.spec.cluster,
    'name': name,
    'command': {'module': run.module, 'flags': flags},
  }
  try:
    return name, render.render(spec.parse(content), target)
  except ValueError as e:
    raise ValueError(f'Run {run.run_id} as a job: {e}') from e


def _submit(state, run, jobs, target):
  """Lines of the script; a job waits for those that it depends on.

  Args:
    state: the study's.
    run: which one.
    jobs: {run id: (job name, file names)} up to this one.
    target: see `write`.
  """
  # Of runs that were done before there is no job.
  before = [name for name in run.depends if name in jobs]
  _, names = jobs[run.run_id]
  paths = [f'"$here"/{shlex.quote(name)}' for name in names]
  if target == 'slurm':
    after = ''.join(f':${_variable(name)}' for name in before)
    wait = f'--dependency="afterok{after}" ' if after else ''
    return [f'{_variable(run.run_id)}=$(sbatch --parsable {wait}{paths[0]})']
  space = shlex.quote(str(state.spec.cluster.get('namespace', 'default')))
  waits = [
    f'kubectl --namespace={space} wait --timeout=-1s '
    f'--for=condition={_SUCCESS[target]} {target}/{jobs[name][0]}'
    for name in before
  ]
  return [*waits, *(f'kubectl apply -f {path}' for path in paths)]


def _variable(run_id):
  return f'job_{hashlib.sha256(run_id.encode()).hexdigest()[:8]}'


def default_folder(output: str) -> str:
  """Returns the folder of the files in a study's folder."""
  return os.path.join(output, 'jobs')
