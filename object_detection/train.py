r"""Trains and evaluates a detector.

python -m object_detection.train --experiment=mini_coco --data_dir=DIR \
      --model_dir=DIR --init_checkpoint=CLASSIFIER
"""

from official_repro.core import flags


def main(_):
  """Parses flags and runs the experiment."""
  # Here, so that a wrong flag is told before TensorFlow has loaded.
  from object_detection import experiments, task
  from official_repro.core import runner

  options = flags.training_options(experiments.EXPERIMENTS)
  if options:
    runner.run(options, task.DetectionTask)


if __name__ == '__main__':
  flags.define_training_flags()
  flags.run(main)
