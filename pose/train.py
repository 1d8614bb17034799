r"""Trains and evaluates a pose net.

python -m pose.train --experiment=mini_person --data_dir=DIR \
      --model_dir=DIR --init_checkpoint=CLASSIFIER
"""

from official_repro.core import flags


def main(_):
  """Parses flags and runs the experiment."""
  # Here, so that a wrong flag is told before TensorFlow has loaded.
  from official_repro.core import runner
  from pose import experiments, task

  options = flags.training_options(experiments.EXPERIMENTS)
  if options:
    runner.run(options, task.PoseTask)


if __name__ == '__main__':
  flags.define_training_flags()
  flags.run(main)
