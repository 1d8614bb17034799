"""Times, memory and machines by hand."""

import dataclasses

import pytest

from official_repro.planning import layout, machines, memory, timing

# One worker's step: 3 s of compute, 1 s in for weights, 0.5 s for records,
# 1.5 s out.
ALONE = timing.Schedule(
  compute=3,
  network_in=1,
  records_in=0.5,
  network_out=1.5,
  steps=86_400,
  step_images=32,
  workers_count=6,
  server_limit=None,
)


def changed(**options):
  return dataclasses.replace(ALONE, **options)


def test_a_step_overlapping_or_not():
  assert ALONE.seconds(overlap=True) == 3
  assert ALONE.seconds(overlap=False) == 3 + 1 + 0.5 + 1.5


def test_asynchronous_workers_add_up():
  # 6 workers of 3 s: 2 steps/s, 64 images/s, 86,400 steps in half a day.
  assert ALONE.steps_per_second(overlap=True) == 2
  assert ALONE.images_per_second(overlap=True) == 64
  assert ALONE.days(overlap=True) == 0.5


def test_servers_limit_all_workers():
  limited = changed(server_limit=0.5)
  assert limited.steps_per_second(overlap=True) == 0.5
  assert limited.days(overlap=True) == 2
  assert limited.binds(overlap=True) == "the servers' links"
  # Six workers of 6 s do no more than one step a second.
  assert changed(server_limit=1).binds(overlap=False) == 'compute'


@pytest.mark.parametrize(
  'options, overlapping, apart',
  [
    ({}, 'compute', 'compute'),
    # In 1.5, out 1.5; without the records 2.5.
    ({'compute': 1.4}, "the workers' links", "the workers' links"),
    # In 1 + 2.5, more than 3; by themselves the records are less.
    (
      {'records_in': 2.5},
      "records on the workers' links",
      'compute',
    ),
    ({'records_in': 9}, *["records on the workers' links"] * 2),
    ({'network_in': 4, 'records_in': 3}, *["the workers' links"] * 2),
  ],
)
def test_what_binds(options, overlapping, apart):
  schedule = changed(**options)
  assert schedule.binds(overlap=True) == overlapping
  assert schedule.binds(overlap=False) == apart


def test_utilisation_from_a_public_rate():
  speed = timing.speed_of(machines.find('K80'), 'float32')
  # 49.5 images/s x 3 x 2 x 3.86G products, of 2.8 TFLOP/s: 41%.
  assert speed.share == pytest.approx(49.5 * 6 * 3.86e9 / 2.8e12, rel=0.03)
  given = timing.speed_of(machines.find('k80'), 'float32', 0.25)
  assert given.flops == 0.7e12


@pytest.mark.parametrize('gpu, published', [('k80', 20.0), ('p100', 82.7)])
def test_resnet_152_foretold_from_resnet_50(gpu, published):
  # The same page (machines.py) has ResNet-152 at batch 32 too: deeper networks
  # get somewhat more of the peak than the formula gives them.
  network = layout.make_network(
    depth=152, classes=1000, shards=1, side=224, stride_placement='v1'
  )
  speed = timing.speed_of(machines.find(gpu), 'float32')
  foretold = speed.flops / network.step_flops()
  assert 0.75 * published < foretold < published


def test_a_gpu_without_a_rate_borrows():
  h100 = machines.find('h100')
  for precision in machines.PRECISIONS:
    own = timing.speed_of(h100, precision)
    lent = timing.speed_of(machines.find('a100'), precision)
    assert own.share == lent.share
    assert own.peak > 3 * lent.peak
    assert own.why.startswith('assumed to be that of a100')


@pytest.mark.parametrize('gpu', machines.GPUS.values(), ids=lambda g: g.name)
def test_the_table_of_gpus(gpu):
  assert gpu.source.startswith('NVIDIA')
  assert 2014 <= gpu.year <= 2024
  assert gpu.rates or gpu.borrows in machines.GPUS
  for precision in gpu.peaks:
    gpu.check(precision)
    assert gpu.peak_of[precision]
    assert 0.1 < timing.speed_of(gpu, precision).share < 0.7


def test_memory_by_hand():
  network = layout.make_network(depth=14, classes=10, shards=1, side=64)
  gpu = machines.find('k80')
  float32 = memory.memory_of(network, gpu, 'float32', slots=0)
  weights = sum(v.bytes for v in network.variables())
  trained = sum(v.bytes for v in network.variables() if v.trained)
  assert float32.activations == 4 * network.kept_values()
  assert float32.fixed == weights + trained + 2**29
  with_slots = memory.memory_of(network, gpu, 'float32', slots=2)
  assert with_slots.fixed == float32.fixed + 2 * trained
  half = memory.memory_of(network, gpu, 'mixed_float16', slots=0)
  assert 2 * half.activations == float32.activations
  # 12 GiB less 7%.
  assert float32.usable == 12 * 2**30 * 0.93
  batch = float32.largest_batch
  assert float32.needed(batch) <= float32.usable < float32.needed(batch + 1)


def test_a_network_that_is_too_large():
  tiny = dataclasses.replace(
    memory.memory_of(
      layout.make_network(depth=14, classes=10, shards=1, side=64),
      machines.find('k80'),
      'float32',
      slots=0,
    ),
    usable=2**20,
  )
  assert tiny.largest_batch == 0


@pytest.mark.parametrize(
  'call, words',
  [
    (lambda: machines.find('v10'), "Unknown GPU 'v10'; did you mean v100"),
    (lambda: machines.find('tpu'), "Unknown GPU 'tpu'; known: k80, p100"),
    (
      lambda: timing.speed_of(machines.find('p100'), 'mixed_float16'),
      'GPU p100 has no tensor cores: mixed_float16 gains no speed',
    ),
    (
      lambda: timing.speed_of(machines.find('a100'), 'bfloat16'),
      "Precision is 'bfloat16'; use one of float32, mixed_float16",
    ),
    (
      lambda: timing.speed_of(machines.find('a100'), 'float32', 0),
      'utilisation is 0; give a share',
    ),
  ],
)
def test_bad_input(call, words):
  with pytest.raises(ValueError, match=words):
    call()
