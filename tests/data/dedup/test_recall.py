"""What is promised of near-duplicates, on fewer pictures than the benchmark."""

import numpy as np
import pytest

from benchmarks import dedup_recall
from official_repro.data.dedup import pipeline
from tests.conftest import shared_path

_ZIP = ('data', 'omniglot', 'images_background_small1.zip')
# The kinds that are promised, and a crop.
_KINDS = (*dedup_recall.GOALS, 'crop5')


def pictures_of(name):
  if name == 'mini_jft':
    return dedup_recall.mini_pictures(600)
  return dedup_recall.omniglot_pictures(shared_path(*_ZIP), 680)


@pytest.mark.parametrize(
  ('name', 'crop_recall'), [('mini_jft', 0.95), ('Omniglot', 0.3)]
)
def test_recall_and_false_drops(name, crop_recall, monkeypatch):
  kinds = {kind: dedup_recall.KINDS[kind] for kind in _KINDS}
  monkeypatch.setattr(dedup_recall, 'KINDS', kinds)
  monkeypatch.setattr(dedup_recall, 'MAX_RADIUS', pipeline.Options().radius)
  pictures = pictures_of(name)
  planted = range(0, len(pictures), 12)
  _, line = dedup_recall.run(pictures, planted, pipeline.Options(), processes=1)
  recall = line['recall']
  assert min(recall[kind] for kind in dedup_recall.GOALS) >= 0.95
  assert recall['crop5'] >= crop_recall
  assert line['false_drops'] <= 0.001


def test_the_planted_copies_are_what_they_are_called():
  picture = np.zeros((100, 80, 3), np.uint8)
  picture[10:90, 20:60] = 255
  shape = lambda kind: dedup_recall.KINDS[kind][0](picture).shape
  assert shape('half') == (50, 40, 3)
  assert shape('larger') == (150, 120, 3)
  assert shape('crop5') == (90, 72, 3)
  assert shape('crop10_bottom') == (90, 80, 3)
  assert shape('crop5_corner') == (95, 76, 3)
  mirror = dedup_recall.KINDS['mirror'][0](picture)
  assert mirror[50, 80 - 1 - 20].max() == 255
