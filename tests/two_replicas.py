"""Runs a binary on a machine that seems to have two CPUs.

python -m tests.two_replicas MODULE --FLAG=VALUE ...
"""

import os
import sys

# With two devices in one process oneDNN's gradients crash now and then.
os.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'


def main():
  import tensorflow as tf

  from tests import binaries
  from tests.conftest import optimize_graphs

  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  optimize_graphs(False)
  module, *words = sys.argv[1:]
  done = binaries.call(module, *words)
  print(done.stdout, end='')
  print(done.stderr, end='', file=sys.stderr)
  sys.exit(done.returncode)


if __name__ == '__main__':
  main()
