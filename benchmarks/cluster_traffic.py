"""Bytes that a step of a parameter server cluster moves, counted and foretold.

  python -m benchmarks.cluster_traffic [--steps=30 --weight_decay=1e-4]

A chief, one worker and two parameter servers train mini_jft in a network
namespace of their own (unshare, Linux), whose loopback device counts every
byte. Runs of N and 2 N steps differ by N steps, without what a start costs.
`foretold` is official_repro.plan's: all variables out, all dense gradients and
batch norm's averages in. The preset's weight decay is a part of the loss and
reads the weights a second time, for which nothing is sent
(server_variables.read_once): --weight_decay=0 should move as much.

goal: counted within 10% of foretold.

Prints one JSON line.
"""

import argparse
import fcntl
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile

from benchmarks import machine

TASKS = {'chiefs': 1, 'workers': 1, 'ps': 2}
BATCH = 8
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def raise_loopback():
  """A new namespace has a loopback device that is down."""
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    request = struct.pack('16sh', b'lo', _IFF_UP)
    fcntl.ioctl(s, _SIOCSIFFLAGS, request + bytes(14))


def sent_bytes():
  """Returns what the loopback device has carried so far."""
  lines = pathlib.Path('/proc/net/dev').read_text().splitlines()
  fields = next(line.split() for line in lines if line.strip()[:3] == 'lo:')
  return int(fields[9])


def inside(data, run, steps, weight_decay):
  """Trains in this namespace; prints the bytes."""
  from cluster import local_cluster, supervisor

  raise_loopback()
  options = {
    'experiment': 'mini_jft',
    'data_dir': data,
    'model_dir': run,
    'mode': 'train',
    'strategy': 'parameter_server',
    'batch_size': BATCH,
    'train_steps': steps,
    'params_override': (
      f'trainer.steps_per_loop={steps},trainer.summary_interval={steps},'
      f'trainer.checkpoint_interval={steps},trainer.sample_pictures=0,'
      f'task.weight_decay={weight_decay}'
    ),
  }
  words = ['official_repro.train', *(f'--{k}={v}' for k, v in options.items())]
  with local_cluster.LocalCluster(words, **TASKS) as tasks:
    code = supervisor.Supervisor(tasks).run()
  if code:
    sys.exit(code)
  print(f'bytes {sent_bytes()}')


def counted(data, folder, steps, weight_decay):
  """Returns the bytes of a run of so many steps."""
  run = str(pathlib.Path(folder) / f'run-{steps}')
  words = [data, run, str(steps), str(weight_decay)]
  done = subprocess.run(
    [
      *('unshare', '--map-root-user', '--net'),
      *(sys.executable, '-m', 'benchmarks.cluster_traffic', '--inside', *words),
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    raise RuntimeError(f'The run failed: {done.stdout}{done.stderr}')
  return int(done.stdout.split()[-1])


def foretold(data):
  """Returns the plan's bytes of a step: pulled and pushed."""
  from official_repro import experiments
  from official_repro.data import manifest
  from official_repro.planning import layout, traffic

  model = experiments.mini_jft().task.model
  network = layout.make_network(
    depth=model.depth,
    classes=manifest.Dataset.load(data).hierarchy.num_classes,
    shards=model.fc_shards,
    side=64,
    width=model.width,
    stride_placement=model.stride_placement,
  )
  variables = network.variables()
  return traffic.pull_bytes(variables) + traffic.push_bytes(variables)


def main():
  """Prints the JSON line."""
  if sys.argv[1:2] == ['--inside']:
    inside(*sys.argv[2:4], int(sys.argv[4]), float(sys.argv[5]))
    return
  from benchmarks import two_processes

  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--steps', type=int, default=30)
  parser.add_argument('--weight_decay', type=float, default=1e-4)
  options = parser.parse_args()
  steps, decay = options.steps, options.weight_decay
  machine.prepare()
  with tempfile.TemporaryDirectory() as folder:
    data = str(pathlib.Path(folder) / 'data')
    two_processes.make_data(data)
    runs = [counted(data, folder, n, decay) for n in (steps, 2 * steps)]
    plan = foretold(data)
  step = (runs[1] - runs[0]) / steps
  out = {
    'benchmark': 'cluster_traffic',
    'steps': steps,
    'weight_decay': decay,
    'counted_bytes_a_step': round(step),
    'foretold_bytes_a_step': plan,
    'counted_by_foretold': round(step / plan, 3),
    'goal': '0.9 < counted_by_foretold < 1.1',
    'met': 0.9 < step / plan < 1.1,
  }
  machine.print_line(out)


if __name__ == '__main__':
  main()
