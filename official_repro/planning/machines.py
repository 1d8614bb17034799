"""GPUs: peak rates, memory, and how much of the peak a ResNet gets.

Peaks and memory are of NVIDIA's data sheets, dense (without sparsity), of the
SXM form where there are several; all were compared with public tables that
quote the sheets.

What a network gets of a peak depends on the software too. It is taken from
public training rates of ResNet-50 at 224x224 (`Rate`), by the same count of
FLOPs as the plan's own, so that elementwise work, which is not counted, is in
the share. By the same source ResNet-152 got 19% (K80) and 25% (P100) more than
this foretells: deeper networks do somewhat better. GPUs without such a rate
borrow another's share.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Optional

PRECISIONS = ('float32', 'mixed_float16')
_TF_BENCHMARKS = (
  'tensorflow.org/performance/benchmarks, May 2017, synthetic data'
)
_NVIDIA_EXAMPLES = (
  'NVIDIA DeepLearningExamples, TensorFlow ResNet-50 v1.5, 20.06, with XLA'
)


@dataclasses.dataclass(frozen=True)
class Rate:
  """A public measurement: ResNet-50, 224x224, training on one GPU.

  Attributes:
    images_per_second: as published.
    batch: images.
    stride_placement: of that network, see resnet.ResNet.
    source: who published it.
  """

  images_per_second: float
  batch: int
  stride_placement: str
  source: str


@dataclasses.dataclass(frozen=True)
class Gpu:
  """One GPU as TensorFlow counts them.

  Attributes:
    name: of the flag.
    title: for people.
    year: of its launch.
    memory_gb: nominal, units of 2^30 bytes.
    peaks: {precision: TFLOP/s}; mixed_float16 is absent without tensor cores.
    peak_of: {precision: what the peak is of}.
    source: of peaks and memory.
    rates: {precision: Rate}.
    borrows: GPU whose share of the peak is assumed where `rates` lacks one.
  """

  name: str
  title: str
  year: int
  memory_gb: int
  peaks: Mapping[str, float]
  peak_of: Mapping[str, str]
  source: str
  rates: Mapping[str, Rate] = dataclasses.field(default_factory=dict)
  borrows: Optional[str] = None

  def check(self, precision: str) -> None:
    """Checks that the GPU gains from a precision.

    Raises:
      ValueError: it does not, or the precision is unknown.
    """
    if precision not in PRECISIONS:
      raise ValueError(
        f'Precision is {precision!r}; use one of {", ".join(PRECISIONS)}.'
      )
    if precision not in self.peaks:
      raise ValueError(
        f'GPU {self.name} has no tensor cores: {precision} gains no speed '
        'there; use float32.'
      )


_PLAIN = {'float32': 'float32 units'}
_VOLTA = {**_PLAIN, 'mixed_float16': 'float16 tensor cores'}
# TensorFlow runs float32 convolutions as TF32 there unless told not to.
_AMPERE = {**_VOLTA, 'float32': 'TF32 tensor cores'}

_A100_RATES = {
  'float32': Rate(909, 256, 'v1.5', _NVIDIA_EXAMPLES),
  'mixed_float16': Rate(2375, 256, 'v1.5', _NVIDIA_EXAMPLES),
}
_V100_RATES = {
  'float32': Rate(412, 128, 'v1.5', _NVIDIA_EXAMPLES),
  'mixed_float16': Rate(1270, 256, 'v1.5', _NVIDIA_EXAMPLES),
}
_A100_PEAKS = {'float32': 156, 'mixed_float16': 312}
_V100_PEAKS = {'float32': 15.7, 'mixed_float16': 125}
_H100_PEAKS = {'float32': 494.7, 'mixed_float16': 989.4}

GPUS = {
  gpu.name: gpu
  for gpu in (
    Gpu(
      'k80',
      'Tesla K80, one of its two GK210 chips',
      2014,
      12,
      # 2,496 cores x 2 x 562 MHz, the base clock: half of the board's 5.6. At
      # the boost clock, which a chip keeps while it stays cool, 4.37.
      {'float32': 2.8},
      _PLAIN,
      'NVIDIA Tesla K80 data sheet',
      {'float32': Rate(49.5, 32, 'v1', _TF_BENCHMARKS)},
    ),
    Gpu(
      'p100',
      'Tesla P100 SXM2',
      2016,
      16,
      {'float32': 10.6},
      _PLAIN,
      'NVIDIA Tesla P100 data sheet',
      {'float32': Rate(195, 32, 'v1', _TF_BENCHMARKS)},
    ),
    Gpu(
      'v100',
      'Tesla V100 SXM2 16 GB',
      2017,
      16,
      _V100_PEAKS,
      _VOLTA,
      'NVIDIA Tesla V100 data sheet',
      _V100_RATES,
    ),
    Gpu(
      'v100_32gb',
      'Tesla V100 SXM2 32 GB',
      2018,
      32,
      _V100_PEAKS,
      _VOLTA,
      'NVIDIA Tesla V100 data sheet',
      _V100_RATES,
    ),
    Gpu(
      'a100',
      'A100 SXM4 40 GB',
      2020,
      40,
      _A100_PEAKS,
      _AMPERE,
      'NVIDIA A100 data sheet',
      _A100_RATES,
    ),
    Gpu(
      'a100_80gb',
      'A100 SXM4 80 GB',
      2020,
      80,
      _A100_PEAKS,
      _AMPERE,
      'NVIDIA A100 data sheet',
      _A100_RATES,
    ),
    Gpu(
      'h100',
      'H100 SXM5 80 GB',
      2022,
      80,
      _H100_PEAKS,
      _AMPERE,
      'NVIDIA H100 data sheet',
      borrows='a100',
    ),
    Gpu(
      'h200',
      'H200 SXM5 141 GB',
      2024,
      141,
      _H100_PEAKS,
      _AMPERE,
      'NVIDIA H200 data sheet',
      borrows='a100',
    ),
  )
}


def find(name: str) -> Gpu:
  """Returns the GPU of that name, in any case.

  Raises:
    ValueError: there is none; with a suggestion.
  """
  key = name.lower().replace('-', '_')
  if key in GPUS:
    return GPUS[key]
  near = difflib.get_close_matches(key, GPUS, 1, cutoff=0.6)
  hint = f'did you mean {near[0]}? Known' if near else 'known'
  raise ValueError(f'Unknown GPU {name!r}; {hint}: {", ".join(GPUS)}.')
