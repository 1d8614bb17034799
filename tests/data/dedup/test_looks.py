import functools

import numpy as np
import pytest

from official_repro.data.dedup import pipeline, removing
from tests.data.dedup.test_removing import dropped_in, leaky, write_folder


def features(encoded, value, calls):
  """A stand-in network, to which all pictures are the same or nothing."""
  with open(calls, 'a') as f:
    f.write(f'{len(encoded)}\n')
  return np.full((len(encoded), 3), value, np.float32)


@pytest.mark.parametrize(('value', 'dropped'), [(2, 4), (0, 0)])
def test_features_decide_instead_of_pixels(tmp_path, value, dropped):
  data = leaky(copies=('half', 'larger', 'mirror', 'reencode'))
  folder, out = write_folder(tmp_path / 'data', data), tmp_path / 'out'
  calls = tmp_path / 'calls'
  network = functools.partial(features, value=value, calls=str(calls))
  report = removing.remove(
    folder,
    out,
    pipeline.Options(min_score=0.95, features=network),
    against=['validation'],
    confirm='embedding',
  )
  # Only the candidates and what they are like are looked at, once each.
  assert sum(map(int, calls.read_text().split())) == 8
  assert report.numbers['candidate_pairs'] >= 4
  assert report.numbers['options']['confirm'] == 'embedding'
  scores = [row['score'] for row in dropped_in(out).values()]
  assert scores == ['1.0000'] * dropped
