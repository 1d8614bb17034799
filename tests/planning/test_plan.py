"""The binary, and the plan of the paper's own run."""

import json

import pytest
import tensorflow as tf

from official_repro import experiments
from official_repro.core import optimizers
from official_repro.planning import (
  as_json,
  data_facts,
  estimate,
  machines,
  paper_run,
  report,
  tables,
  traffic,
)
from tests import binaries

BINARY = 'official_repro.plan'


def make(name='jft300m_resnet101', gpu='k80', **options):
  cluster = {'workers': 50, 'servers': 17, **options}
  return estimate.make_plan(
    name,
    experiments.EXPERIMENTS[name](),
    data_facts.of_experiment(name),
    estimate.Cluster(gpu=machines.find(gpu), **cluster),
  )


def test_the_papers_run():
  plan = make()
  # 36M x 32 / 300M: only if all workers' steps count together.
  assert plan.epochs == pytest.approx(3.84)
  # 36M steps in 61 days are 6.83 a second, of 32 images on 50 GPUs.
  paper = paper_run.images_per_second()
  assert paper / 50 == pytest.approx(6.83 * 32 / 50, rel=0.01)
  # As paper_run's docstring says.
  for overlap, each, days, factor in ((1, 14.2, 19, 3.2), (0, 11.5, 23, 2.6)):
    rate = plan.asynchronous.images_per_second(overlap)
    assert rate / 50 == pytest.approx(each, rel=0.01)
    assert plan.asynchronous.days(overlap) == pytest.approx(days, rel=0.02)
    assert rate / paper == pytest.approx(factor, rel=0.02)
    assert plan.asynchronous.binds(overlap) == 'compute'
  for placement, days in (('in_turn', 82), ('by_size', 66)):
    slow = make(network_gbps=1.0, placement=placement).asynchronous
    assert slow.binds(True) == "the servers' links"
    assert slow.days(True) == pytest.approx(days, rel=0.01)


def test_by_hand():
  plan = make(utilisation=0.5)
  # 80.0 GFLOP x 32 / (2.8 TFLOP/s x .5) = 1.83 s.
  flops = plan.network.step_flops()
  assert flops == pytest.approx(80e9, rel=0.01)
  asynchronous = plan.asynchronous
  assert asynchronous.compute == pytest.approx(flops * 32 / 1.4e12)
  # 10 Gbit/s are 1.25 GB/s.
  pulled = traffic.pull_bytes(plan.network.variables())
  assert asynchronous.network_in == pytest.approx(pulled / 1.25e9)
  busiest = max(s.busiest for s in plan.loads['by_size'])
  assert asynchronous.server_limit == pytest.approx(1.25e9 / busiest)
  # The same images in steps of 50 x 32.
  assert plan.synchronous.steps == 720_000
  assert plan.synchronous.step_images == 1600
  assert plan.synchronous.days(True) == pytest.approx(asynchronous.days(True))


def test_one_worker_needs_no_ring():
  synchronous = make(workers=1).synchronous
  assert synchronous.network_in == synchronous.network_out == 0
  assert synchronous.steps == 36_000_000


def test_cost():
  plan = make(price=0.5)
  days = plan.asynchronous.days(True)
  cost = plan.cost(plan.asynchronous, True)
  assert cost == pytest.approx(days * 24 * 50 * 0.5)
  assert f'{cost:,.0f}' in report.text(plan)
  assert make().cost(plan.asynchronous, True) is None


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_every_preset_has_a_plan(name):
  plan = make(name, gpu='a100', precision='mixed_float16')
  text = report.text(plan)
  assert max(map(len, text.splitlines())) <= 80
  assert 40 < len(text.splitlines()) < 110
  assert json.loads(json.dumps(as_json.as_json(plan)))['experiment'] == name
  assert "The paper's run" not in text


@pytest.mark.parametrize('name', ['mini_jft', 'mini_finetune'])
@pytest.mark.parametrize('averaging', [0.0, 0.99])
def test_slots_as_the_optimizer_makes_them(name, averaging):
  config = experiments.EXPERIMENTS[name]().trainer.optimizer_config
  config = config.replace(averaging_decay=averaging)
  optimizer = optimizers.build_optimizer(config)
  variable = tf.Variable([1.0])
  optimizer.apply_gradients([(tf.constant([1.0]), variable)])
  made = [w for w in optimizer.weights if w.shape == variable.shape]
  assert estimate.slots_of(config) == len(made)


def test_slots_that_are_not_known():
  config = experiments.mini_jft().trainer.optimizer_config
  config = config.replace(optimizer={'type': 'lars'})
  with pytest.raises(ValueError, match="optimizer 'lars' are not known here"):
    estimate.slots_of(config)


@pytest.mark.parametrize(
  'options, words',
  [
    ({'workers': 0}, 'workers is 0; give at least 1'),
    ({'servers': 0}, 'parameter servers is 0; give at least 1'),
    ({'servers': 621}, '621 parameter servers for 620 variables'),
    ({'network_gbps': 0.0}, 'network_gbps is 0'),
    ({'price': -1.0}, 'price_per_gpu_hour is -1'),
    ({'placement': 'x'}, "placement is 'x'; use one of in_turn, by_size"),
  ],
)
def test_bad_clusters(options, words):
  with pytest.raises(ValueError, match=words):
    make(**options)


def test_numbers_as_text():
  assert tables.number(0) == '0'
  assert tables.number(12, 'B') == '12 B'
  assert tables.number(999.6) == '1.00 k'
  assert tables.number(42_560_000) == '42.6 M'
  assert tables.number(320_123_456, 'B') == '320 MB'
  assert tables.seconds(0.0213) == '21.3 ms'
  assert tables.wrapped('aa bb cc', 5) == ['aa bb', 'cc']
  assert tables.row('n', 'x ' * 40)[1].startswith(' ' * 22 + 'x')


def test_the_binary(tmp_path):
  path = tmp_path / 'plan.json'
  done = binaries.call(
    BINARY,
    experiment='jft300m_resnet101',
    workers=50,
    ps=17,
    gpu='K80',
    images=150e6,
    bytes_per_image=20_000,
    batch_size=16,
    json=path,
  )
  assert (done.returncode, done.stderr) == (0, '')
  assert '(given)' in done.stdout
  numbers = json.loads(path.read_text())
  assert numbers['epochs'] == pytest.approx(36e6 * 16 / 150e6)
  assert numbers['storage']['shards'] == 15_000
  assert numbers['cluster']['gpu']['name'] == 'k80'
  assert len(numbers['traffic']['servers']['by_size']) == 17
  assert numbers['memory']['parameter_servers']['fits'] is True
  days = numbers['asynchronous']['all_overlaps']['days']
  assert f'{days:,.3g}' in done.stdout


@pytest.mark.parametrize(
  'options, words',
  [
    ({'gpu': 'v10'}, "Unknown GPU 'v10'; did you mean v100?"),
    (
      {'experiment': 'jft300_resnet101'},
      'did you mean jft300m_resnet101? Presets of object_detection, deeplab',
    ),
    ({'network': 3}, 'Unknown flag --network; did you mean --network_gbps?'),
  ],
)
def test_errors_of_the_binary(options, words):
  done = binaries.call(BINARY, **options)
  assert (done.returncode, done.stdout) == (1, '')
  (line,) = [x for x in done.stderr.splitlines() if x]
  assert line.startswith('Error: ')
  assert words in line


def test_the_exit_code():
  done = binaries.process(BINARY, gpu='k8')
  assert (done.returncode, done.stdout) == (1, '')
  assert done.stderr.startswith("Error: Unknown GPU 'k8'; did you mean k80?")
  assert done.stderr.count('\n') == 1


def test_the_flag_knows_the_placements():
  text = binaries.call(BINARY, '--help').stdout
  assert f'<{"|".join(traffic.PLACEMENTS)}>' in text
