r"""Trains and evaluates a segmentation net.

python -m deeplab.train --experiment=mini_voc --data_dir=DIR \
      --model_dir=DIR --init_checkpoint=CLASSIFIER
"""

from official_repro.core import flags


def main(_):
  """Parses flags and runs the experiment."""
  # Here, so that a wrong flag is told before TensorFlow has loaded.
  from deeplab import experiments, task
  from official_repro.core import runner

  options = flags.training_options(experiments.EXPERIMENTS)
  if options:
    runner.run(options, task.SegmentationTask)


if __name__ == '__main__':
  flags.define_training_flags()
  flags.run(main)
