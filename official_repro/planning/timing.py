"""Seconds of a step, steps per second, days.

  compute   = batch x FLOPs of an image / (peak x share of the peak)
  in, out   = bytes / bandwidth of the worker's link, each direction by itself;
              records come in on the same link
  step      = max(compute, in, out) where all overlaps,
              compute + in + out where nothing does; a run lies between
  servers   = bandwidth / (bytes of the busiest server at one worker's step)
              is the most steps per second that all workers together can take

Asynchronous: all workers' steps count together, min(workers / step, servers) a
second. Synchronous: one step is a batch of every worker, 1 / step a second.
"""

import dataclasses
from typing import Optional

from official_repro.planning import layout, machines

DAY = 86_400


@dataclasses.dataclass(frozen=True)
class Speed:
  """What a GPU gives.

  Attributes:
    peak: FLOP/s.
    share: of the peak that the network gets.
    why: where the share is from.
  """

  peak: float
  share: float
  why: str

  @property
  def flops(self) -> float:
    """FLOP/s that count."""
    return self.peak * self.share


def speed_of(
  gpu: machines.Gpu, precision: str, share: Optional[float] = None
) -> Speed:
  """Returns the speed of a GPU.

  Args:
    gpu: the GPU.
    precision: one of machines.PRECISIONS.
    share: of the peak, above 0 and at most 1; None: from a public rate.

  Raises:
    ValueError: the GPU lacks the precision, or share is out of range.
  """
  gpu.check(precision)
  peak = gpu.peaks[precision] * 1e12
  if share is not None:
    if not 0 < share <= 1:
      raise ValueError(
        f'utilisation is {share:g}; give a share of the peak above 0 and at '
        'most 1, e.g. 0.4.'
      )
    return Speed(peak, share, 'given')
  if precision not in gpu.rates:
    lender = machines.GPUS[gpu.borrows]
    lent = speed_of(lender, precision)
    return Speed(
      peak, lent.share, f'assumed to be that of {lender.name}; {lent.why}'
    )
  rate = gpu.rates[precision]
  measured = layout.make_network(
    depth=50,
    classes=1000,
    shards=1,
    side=224,
    stride_placement=rate.stride_placement,
  )
  share = rate.images_per_second * measured.step_flops() / peak
  return Speed(
    peak,
    share,
    f'ResNet-50 at 224 px, batch {rate.batch}: {rate.images_per_second:,g} '
    f'images/s ({rate.source})',
  )


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A way to train: how long a step takes and how many there are.

  Attributes:
    compute, network_in, records_in, network_out: seconds of one worker's step.
    steps: of the whole run, as this schedule counts them.
    step_images: that one step consumes, by this count.
    workers_count: steps that are counted while one worker takes one.
    server_limit: steps per second of all workers together; None: no servers.
  """

  compute: float
  network_in: float
  records_in: float
  network_out: float
  steps: float
  step_images: int
  workers_count: int
  server_limit: Optional[float] = None

  def seconds(self, overlap: bool) -> float:
    """Returns the time of one worker's step, left alone by the servers."""
    parts = (self.compute, self.network_in + self.records_in, self.network_out)
    return max(parts) if overlap else sum(parts)

  def steps_per_second(self, overlap: bool) -> float:
    """Returns the rate as this schedule counts steps."""
    rate = self.workers_count / self.seconds(overlap)
    return rate if self.server_limit is None else min(rate, self.server_limit)

  def days(self, overlap: bool) -> float:
    """Returns the length of the run."""
    return self.steps / self.steps_per_second(overlap) / DAY

  def images_per_second(self, overlap: bool) -> float:
    """Returns the rate of all workers."""
    return self.steps_per_second(overlap) * self.step_images

  def binds(self, overlap: bool) -> str:
    """Returns what the run waits for most."""
    alone = self.workers_count / self.seconds(overlap)
    if self.server_limit is not None and self.server_limit < alone:
      return "the servers' links"
    links, records = "the workers' links", "records on the workers' links"
    if overlap:
      # What comes in shares one direction: the larger part is named.
      larger = records if self.records_in > self.network_in else links
      parts = [
        (self.compute, 'compute'),
        (self.network_in + self.records_in, larger),
        (self.network_out, links),
      ]
    else:
      parts = [
        (self.compute, 'compute'),
        (self.records_in, records),
        (self.network_in + self.network_out, links),
      ]
    return max(parts)[1]
