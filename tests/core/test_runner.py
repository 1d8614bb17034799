"""The run between its phases; whole runs are in tests.test_train."""

import time
from types import SimpleNamespace
from unittest import mock

import orbit
import pytest

from official_repro.core import runner


@pytest.mark.parametrize('cluster, background', [(None, True), ('two', False)])
def test_one_process_saves_in_the_background(monkeypatch, cluster, background):
  monkeypatch.setattr(orbit, 'Controller', lambda **options: options)
  options = runner._Run._controller(mock.MagicMock(cluster=cluster))
  assert options['enable_async_checkpointing'] is background


@pytest.mark.parametrize(
  'gather, expected',
  [
    (lambda own: [own], {'data_wait_seconds': 3}),
    (
      lambda own: [own, 0.5 * own],
      {
        'data_wait_seconds': 4.5,
        'worker/0/data_wait_seconds': 3,
        'worker/1/data_wait_seconds': 1.5,
        # 5 steps in 4 s, each of 4 of the 8 images: 5 x 4 / 4.
        'worker/0/images_per_second': 5,
        'worker/1/images_per_second': 2.5,
      },
    ),
  ],
)
def test_what_each_process_did(monkeypatch, gather, expected):
  run = SimpleNamespace(
    trainer=SimpleNamespace(data_wait=10.0, batch_size=8),
    agreement=SimpleNamespace(gather=gather),
    _step=25,
    _point=(100.0, 7.0, 20),
  )
  monkeypatch.setattr(time, 'perf_counter', lambda: 104.0)
  output = {'training_loss': 1.0}
  runner._Run._add_work(run, output)
  assert output == {'training_loss': 1.0, **expected}
  assert run._point == (104, 10, 25)
