r"""Pre-training, ImageNet baseline and fine-tuning of a classifier.

python -m official_repro.train --experiment=mini_jft --data_dir=DIR \
      --model_dir=DIR
"""

from official_repro.core import flags


def main(_):
  """Parses flags and runs the experiment."""
  # Here, so that a wrong flag is told before TensorFlow has loaded.
  from official_repro import experiments, task
  from official_repro.core import runner

  options = flags.training_options(experiments.EXPERIMENTS)
  if options:
    runner.run(options, task.ClassificationTask)


if __name__ == '__main__':
  flags.define_training_flags()
  flags.run(main)
