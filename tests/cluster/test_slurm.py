"""The rendered script, run by bash against stand-ins for Slurm's programs."""

import os
import subprocess

import pytest

from cluster import command, slurm, spec
from official_repro.core import cluster_config
from tests.cluster import examples, waiting

# Each node n0, n1, ... of the list "n:COUNT".
SCONTROL = r"""#!/bin/bash
if [[ $1 == requeue ]]; then echo "$2" > "$OUT/requeued"; exit; fi
for ((i = 0; i < ${3#n:}; i++)); do echo "n$i"; done
"""
SCANCEL = r"""#!/bin/bash
echo "$*" >> "$OUT/scancel"
kill -TERM $(cat "$OUT"/pid.*)
"""
# As --kill-on-bad-exit: the first bad exit ends the others; the highest counts.
SRUN = r"""#!/bin/bash
while [[ $1 == --* ]]; do shift; done
pids=() highest=0
for ((i = 0; i < ${SLURM_JOB_NODELIST#n:}; i++)); do
  SLURM_PROCID=$i SLURM_STEP_NODELIST=$SLURM_JOB_NODELIST setsid "$@" &
  pids+=($!)
  echo $! > "$OUT/pid.$i"
done
for ((i = 0; i < ${#pids[@]}; i++)); do
  wait -n
  code=$?
  ((code > highest)) && highest=$code
  ((code)) && for pid in "${pids[@]}"; do kill -KILL -- "-$pid"; done
done 2> /dev/null
exit "$highest"
"""
# A run of its own end: the first task ends with $CODE when all have started.
PYTHON = r"""#!/bin/bash
stopped() { sleep 0.2; echo saved > "$OUT/saved"; exit 143; }
[[ $SLURM_PROCID == 0 ]] && trap stopped TERM
{ echo "${TF_CONFIG-}"; echo "$CUDA_VISIBLE_DEVICES"; printf '%s\n' "$@"; } \
  > "$OUT/part.$SLURM_PROCID"
mv "$OUT/part.$SLURM_PROCID" "$OUT/task.$SLURM_PROCID"
tasks=${SLURM_JOB_NODELIST#n:}
until compgen -G "$OUT/task.$((tasks - 1))" > /dev/null \
  && (($(ls "$OUT"/task.* | wc -l) == tasks)); do sleep 0.05; done
if [[ $TF_CONFIG == *'"type": "ps"'* ]]; then exec sleep 600; fi
if [[ $TF_CONFIG == *'"ps":'*'"type": "worker"'* ]]; then exec sleep 600; fi
if [[ $CODE == wait ]]; then
  if [[ $SLURM_PROCID == 0 ]]; then
    until [[ -s $OUT/batch ]]; do sleep 0.05; done
    kill -TERM "$(cat "$OUT/batch")"
  fi
  while :; do sleep 0.05; done
fi
[[ $SLURM_PROCID == 0 ]] && exit "$CODE"
exit 0
"""


def _job(name, folder, **changes):
  """An example whose folders are there."""
  content = examples.content(name)
  for top in ('data', 'runs'):
    (folder / top).mkdir()
    volume = content['volumes'][top]
    volume['mount'] = str(folder / top)
    if 'host_path' in volume:
      volume['host_path'] = volume['mount']
  flags = content['command']['flags']
  for flag in ('data_dir', 'model_dir', 'init_checkpoint'):
    if flag in flags:
      flags[flag] = str(folder) + flags[flag]
  return spec.parse({**content, **changes})


def _run(job, folder, code='0', nodes=None, **environ):
  """Runs the script; returns its exit code, its stderr and {rank: lines}."""
  programs, out = folder / 'bin', folder / 'out'
  programs.mkdir()
  out.mkdir()
  for name, text in (
    ('scontrol', SCONTROL),
    ('scancel', SCANCEL),
    ('srun', SRUN),
    ('python', PYTHON),
  ):
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)
  ((name, text),) = slurm.render(job).items()
  script = folder / name
  script.write_text(text)
  nodes = nodes or job.chief + job.ps + job.workers + job.evaluator
  done = subprocess.Popen(
    ['bash', str(script)],
    cwd=folder,
    env={
      **os.environ,
      'PATH': f'{programs}:{os.environ["PATH"]}',
      'OUT': str(out),
      'CODE': code,
      'SLURM_JOB_ID': '12345',
      'SLURM_JOB_NODELIST': f'n:{nodes}',
      'POLL_SECONDS': '0.05',
      **environ,
    },
    stderr=subprocess.PIPE,
    text=True,
  )
  (out / 'batch').write_text(str(done.pid))
  _, errors = done.communicate(timeout=waiting.SECONDS)
  tasks = {
    int(path.suffix[1:]): path.read_text().splitlines()
    for path in out.glob('task.*')
  }
  return done.returncode, errors, tasks


def _roles(job):
  counts = (
    ('chief', job.chief),
    ('ps', job.ps),
    ('worker', job.workers),
    ('evaluator', job.evaluator),
  )
  return [(kind, i) for kind, count in counts for i in range(count)]


@pytest.mark.parametrize('name', examples.NAMES)
def test_each_task_has_a_right_cluster_and_command(tmp_path, name):
  # The paper's 69 machines would be many processes for a test.
  smaller = {'workers': 3, 'ps': 2} if name == 'official_repro' else {}
  job = _job(name, tmp_path, **smaller)
  code, errors, tasks = _run(job, tmp_path)
  assert (code, errors) == (0, '')
  roles = _roles(job)
  assert sorted(tasks) == list(range(len(roles)))
  for rank, (kind, index) in enumerate(roles):
    text, gpus, *words = tasks[rank]
    assert words == ['-m', *job.words(kind)]
    values = dict(word[2:].split('=', 1) for word in words[2:])
    config = cluster_config.from_environment({'TF_CONFIG': text})
    cluster_config.check(config, command.parse(values).strategy)
    if len(roles) == 1:
      assert config is None
      continue
    assert (config.task_type, config.task_index) == (kind, index)
    if kind != 'evaluator':
      # A task listens where it runs; 20000 + 12345 % 10000 = 22345.
      assert config.cluster[kind][index] == f'n{rank}:22345'
    idle = kind == 'ps' or (kind == 'chief' and job.asynchronous)
    assert gpus == ('-1' if idle else '')
  # Nothing is left in the folder from which it was submitted.
  assert not list(tmp_path.glob('.*'))


@pytest.mark.parametrize('name', ['pose', 'object_detection'])
@pytest.mark.parametrize(
  'code, expected, requeued',
  [
    ('143', 143, True),
    ('138', 138, True),  # another task was lost
    ('137', 137, True),
    ('1', 1, False),
    ('2', 1, False),
  ],
)
def test_143_is_requeued_and_1_is_not(tmp_path, name, code, expected, requeued):
  job = _job(name, tmp_path, workers=2, **({'ps': 1} if 'obj' in name else {}))
  found, errors, _ = _run(job, tmp_path, code)
  assert (tmp_path / 'out' / 'requeued').exists() is requeued
  assert found == expected
  assert ('requeued' in errors) is requeued


def test_retries_come_to_an_end(tmp_path):
  job = _job('deeplab', tmp_path, retries=2)
  code, errors, _ = _run(job, tmp_path, '143', SLURM_RESTART_COUNT='2')
  assert code == 143
  assert 'after 2 retries' in errors
  assert not (tmp_path / 'out' / 'requeued').exists()


@pytest.mark.parametrize('name', ['pose', 'object_detection'])
def test_a_signal_reaches_the_tasks_and_the_chief_saves(tmp_path, name):
  """The others end at once or not at all, and wait for it."""
  job = _job(name, tmp_path, workers=2, **({'ps': 1} if 'obj' in name else {}))
  code, _, _ = _run(job, tmp_path, 'wait')
  assert code == 143
  out = tmp_path / 'out'
  assert (out / 'scancel').read_text() == '--signal=TERM 12345\n'
  assert (out / 'saved').exists()
  assert (out / 'requeued').read_text() == '12345\n'


def test_too_few_nodes_are_told(tmp_path):
  job = _job('pose', tmp_path, workers=2, evaluator=False)
  code, errors, _ = _run(job, tmp_path, nodes=2)
  assert code == 1
  assert 'Error: 3 nodes are needed, one a task, got n0 n1.' in errors


def test_missing_folder_is_told(tmp_path):
  job = _job('deeplab', tmp_path)
  (tmp_path / 'runs').rmdir()
  code, errors, tasks = _run(job, tmp_path)
  assert (code, tasks) == (1, {})
  assert f'has no folder {tmp_path}/runs' in errors


def test_host_path_under_another_name_is_told():
  content = examples.content('deeplab')
  content['volumes']['data']['host_path'] = '/scratch/data'
  with pytest.raises(ValueError, match="'/scratch/data' under this name only"):
    slurm.render(spec.parse(content))


def test_options():
  (text,) = slurm.render(examples.load('official_repro')).values()
  options = [
    line[len('#SBATCH ') :]
    for line in text.splitlines()
    if line.startswith('#SBATCH ')
  ]
  assert options == [
    '--job-name=jft-resnet101',
    '--nodes=69',  # 1 + 17 + 50 + 1
    '--ntasks-per-node=1',
    '--cpus-per-task=8',
    '--mem=49152M',  # 48 * 1024
    '--gpus-per-node=1',
    '--output=jft-resnet101-%j.log',
    '--open-mode=append',
    '--signal=B:TERM@300',
    '--requeue',
  ]
  assert 'tensorboard --logdir=/runs/jft-resnet101' in text
  assert '@' not in text.replace('TERM@300', '').replace('[@]', '')


def test_words_are_quoted(tmp_path):
  job = _job('deeplab', tmp_path)
  flags = {**job.flags, 'params_override': "a: {b: 'c d', e: $HOME}"}
  job = spec.parse(
    {
      **examples.content('deeplab'),
      'command': {'module': job.module, 'flags': flags},
      'volumes': {
        v.name: {'mount': v.mount, v.kind: v.source} for v in job.volumes
      },
    }
  )
  _, _, tasks = _run(job, tmp_path)
  assert "--params_override=a: {b: 'c d', e: $HOME}" in tasks[0]
