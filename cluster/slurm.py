"""A script for Slurm's sbatch: one task a node, TF_CONFIG from the nodes."""

import math
import shlex
import textwrap

from cluster import job as job_lib
from cluster import tf_config

_SCRIPT = r"""#!/bin/bash
@OPTIONS@

# Submit it in the project's folder. Tasks run $PYTHON (default: python) and not
# the container image, and see the volumes where the nodes have them mounted.
#
# Exit codes of a task: 0 done; 1 wrong use or bad input, which ends the job;
# 143 stopped by SIGTERM after saving a checkpoint, upon which the job is
# requeued, up to @RETRIES@ times, and goes on from there, as are other codes
# from 128 on (killed by a signal).
@TENSORBOARD@

# srun returns the highest exit code: tasks turn 1 to 127 into this one, so that
# it counts more than those of tasks that were killed because of it.
export PERMANENT=255
# The first task, which saves, leaves this file at its end.
export ENDED="$PWD/.@NAME@-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}.ended"
rm -f "$ENDED"
trap 'rm -f "$ENDED"' EXIT

read -r -d '' TASK <<'END_OF_TASK'
rank=$SLURM_PROCID
for folder in @FOLDERS@; do
  if [[ ! -d $folder ]]; then
    echo "Error: Node $(hostname) has no folder $folder; mount it there, or" \
      "change the volumes of the spec." >&2
    exit "$PERMANENT"
  fi
done
@ROLE@
child= stopped=
trap 'stopped=1; [[ -n $child ]] && kill -TERM "$child" 2>/dev/null' TERM
@RUN@
if ((rank == 0)); then
  touch "$ENDED"
elif [[ -n $stopped ]]; then
  # The first bad exit code ends all tasks: not before the first one has saved.
  for ((i = 0; i < @SECONDS@; i++)); do
    [[ -e $ENDED ]] && break
    sleep 1
  done
fi
((code > 0 && code < 128)) && code=$PERMANENT
exit "$code"
END_OF_TASK

# Slurm tells this script @SECONDS@ s before the time limit; it tells all tasks.
trap 'scancel --signal=TERM "$SLURM_JOB_ID"' TERM
srun --cpus-per-task=@CPUS@ --kill-on-bad-exit=1 --wait=0 bash -c "$TASK" &
step=$!
# A signal ends `wait` early, hence the loop; the last one has the exit code.
while kill -0 "$step" 2>/dev/null; do wait "$step"; done
wait "$step"
code=$?
if ((code >= 128 && code < PERMANENT)); then
  if ((${SLURM_RESTART_COUNT:-0} < @RETRIES@)); then
    echo "Stopped with exit code $code; requeued." >&2
    scontrol requeue "$SLURM_JOB_ID"
  else
    echo "Stopped with exit code $code after @RETRIES@ retries." >&2
  fi
  exit "$code"
fi
exit $((code > 0))
"""

_ROLE = r"""nodes=${SLURM_STEP_NODELIST:-$SLURM_JOB_NODELIST}
mapfile -t hosts < <(scontrol show hostnames "$nodes")
if ((${#hosts[@]} != @TASKS@)); then
  echo "Error: @TASKS@ nodes are needed, one a task, got ${hosts[*]}." >&2
  exit "$PERMANENT"
fi
# Jobs may share a node, tasks of this job never do.
port=$((20000 + SLURM_JOB_ID % 10000))
addresses() { # FIRST COUNT: of these tasks, as a list in JSON
  local i list=
  for ((i = $1; i < $1 + $2; i++)); do
    list+="${list:+, }\"${hosts[i]}:$port\""
  done
  printf '[%s]' "$list"
}
@ROLES@
task="{\"type\": \"$kind\", \"index\": $index}"
export TF_CONFIG="{\"cluster\": {@CLUSTER@}, \"task\": $task}"
"""

_RUN = r""""${PYTHON:-python}" -m "${command[@]}" &
child=$!
while kill -0 "$child" 2>/dev/null; do wait "$child"; done
wait "$child"
code=$?
"""

# Instead of _RUN with parameter servers, which like their workers never end by
# themselves: they go on through a SIGTERM while the chief saves what they hold,
# and end after it, with 0, as its exit code tells how things went.
_RUN_ASYNCHRONOUS = r"""if [[ $kind == ps || $kind == worker ]]; then
  trap '' TERM # before Python starts, which then ignores it too
  "${PYTHON:-python}" -m "${command[@]}" &
  child=$!
  while kill -0 "$child" 2>/dev/null && [[ ! -e $ENDED ]]; do
    sleep "${POLL_SECONDS:-5}"
  done
  if [[ -e $ENDED ]]; then
    kill -KILL "$child" 2>/dev/null
    exit 0
  fi
  wait "$child"
  code=$?
  # Nothing asked it to end.
  ((code == 0)) && code=143
else
@RUN@
fi
"""

_TENSORBOARD = """\
#
# TensorBoard: tensorboard --logdir={}
"""

# Before the time limit: for one step and one checkpoint.
_SECONDS_TO_SAVE = 300


def render(job: job_lib.JobSpec) -> dict:
  """Returns {file name: text}.

  Args:
    job: from spec.load.

  Raises:
    ValueError: a volume is a folder of the nodes under another name, which only
      containers can have.
  """
  for volume in job.volumes:
    if volume.kind == 'host_path' and volume.source != volume.mount:
      raise ValueError(
        f'Key volumes.{volume.name}: tasks of Slurm run without a container '
        f'and see {volume.source!r} under this name only, but mount is '
        f'{volume.mount!r}; use the same for both.'
      )
  parts = {
    'OPTIONS': _options(job),
    'TENSORBOARD': _TENSORBOARD.format(shlex.quote(job.model_dir))
    if job.tensorboard
    else '',
    'ROLE': _role(job),
    'RUN': _run(job),
    'FOLDERS': shlex.join(v.mount for v in job.volumes),
    'TASKS': sum(tf_config.all_tasks(job).values()),
    'CPUS': math.ceil(job.cpus),
    'NAME': job.name,
    'RETRIES': job.retries,
    'SECONDS': _SECONDS_TO_SAVE,
  }
  return {f'{job.name}.sbatch': _fill(_SCRIPT, parts)}


def _fill(text, parts):
  for name, value in parts.items():
    text = text.replace(f'@{name}@', str(value).rstrip('\n'))
  return text


def _options(job):
  options = {
    'job-name': job.name,
    'nodes': sum(tf_config.all_tasks(job).values()),
    'ntasks-per-node': 1,
    'cpus-per-task': math.ceil(job.cpus),
    'mem': f'{job.memory_mib}M',
    'gpus-per-node': job.gpus or None,
    'output': f'{job.name}-%j.log',
    'open-mode': 'append',
    'signal': f'B:TERM@{_SECONDS_TO_SAVE}',
  }
  lines = [f'#SBATCH --{k}={v}' for k, v in options.items() if v is not None]
  return '\n'.join([*lines, '#SBATCH --requeue'])


def _role(job):
  """Bash that sets kind, index and TF_CONFIG from the rank."""
  tasks = tf_config.all_tasks(job)
  if not tf_config.is_needed(job):
    return 'kind=worker'
  lines, cluster, first = [], [], 0
  for kind, count in tasks.items():
    word = 'elif' if lines else 'if'
    # ps and an asynchronous chief leave the GPUs of their node alone.
    hide = job.gpus and not job.gpus_of(kind)
    lines += [
      f'{word} ((rank < {first + count})); then',
      f'  kind={kind} index=$((rank - {first}))',
      *(['  export CUDA_VISIBLE_DEVICES=-1'] if hide else []),
    ]
    if kind != 'evaluator':
      cluster.append(rf'\"{kind}\": $(addresses {first} {count})')
    first += count
  return _fill(
    _ROLE,
    {'ROLES': '\n'.join([*lines, 'fi']), 'CLUSTER': ', '.join(cluster)},
  )


def _run(job):
  """Bash that starts the command of the role and sets code."""
  run = _RUN
  if job.asynchronous:
    run = _fill(_RUN_ASYNCHRONOUS, {'RUN': textwrap.indent(_RUN, '  ')})
  lines = [f'command=({shlex.join(job.words("worker"))})']
  if job.evaluator:
    evaluator = shlex.join(job.words('evaluator'))
    lines.append(f'[[ $kind == evaluator ]] && command=({evaluator})')
  return '\n'.join([*lines, run])
