"""The paper's own run beside what the formulas say of it.

Sun et al. 2017, sec. 3.1: ResNet-101, asynchronous, 50 K80, 17 parameter
servers †, batch 32; 36M steps, about 4 epochs of 300M images, in about two
months. 36M x 32 / 300M = 3.84: the steps are those of all workers together.
Over 61 days that is 6.8 steps/s, 219 images/s, 4.4 a GPU.

The plan of that run at 10 Gbit/s has each GPU do 11.5 to 14.2 images/s, 2.6 to
3.2 times as many, and ends after 19 to 23 days: compute binds. At 1 Gbit/s the
servers' links bind and the same formulas give 82 days, or 66 with variables
placed by size. The paper does not say what its network was, nor what else its
machines did, so neither number explains the factor.
"""

from official_repro.planning import estimate, tables, timing

EXPERIMENT = 'jft300m_resnet101'
GPU, WORKERS = 'k80', 50
STEPS, BATCH = 36_000_000, 32
DAYS = 61  # "about 2 months"


def images_per_second() -> float:
  """Returns the rate of all workers in the paper."""
  return STEPS * BATCH / (DAYS * timing.DAY)


def compared(plan: estimate.Plan) -> list[str]:
  """Returns lines that set a plan of the paper's run beside the paper's number.

  Args:
    plan: any; other runs get no lines.
  """
  cluster = plan.cluster
  planned = (
    plan.experiment,
    cluster.gpu.name,
    cluster.workers,
    plan.config.trainer.train_steps,
    plan.batch,
  )
  if planned != (EXPERIMENT, GPU, WORKERS, STEPS, BATCH):
    return []
  paper = images_per_second()
  slow, fast = (
    plan.asynchronous.images_per_second(overlap) for overlap in (False, True)
  )
  return [
    "The paper's run (the same GPUs; its network is not given)",
    *tables.row(
      'took',
      f'about two months: {DAYS} days are {paper:.0f} images/s, '
      f'{paper / WORKERS:.2g} a GPU',
    ),
    *tables.row(
      'this plan',
      f'{slow / WORKERS:.3g} to {fast / WORKERS:.3g} a GPU, '
      f'{slow / paper:.2g} to {fast / paper:.2g} times as many: formulas leave '
      'out what slows a run down, see the end',
    ),
  ]
