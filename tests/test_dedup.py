import numpy as np
import pytest

from tests import binaries
from tests.data.dedup.test_confirm import textured
from tests.data.dedup.test_hashes import encode
from tests.data.dedup.test_removing import ids_in, leaky, write_folder

DEDUP = 'official_repro.dedup'


def run(*words):
  return binaries.call(DEDUP, '--processes=1', *words)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return write_folder(tmp_path_factory.mktemp('dedup') / 'data', leaky())


def test_the_binary(data, tmp_path):
  out = tmp_path / 'out'
  words = (f'--data_dir={data}', f'--output={out}', '--against=validation')
  done = binaries.process(DEDUP, *words)
  assert (done.returncode, binaries.messages(done)) == (0, [])
  assert 'train: 3 of 9 records dropped (33.33%)' in done.stdout
  assert 'Copies: 1 cropped, 1 mirrored, 1 same' in done.stdout
  assert len(ids_in(out)) == 6
  again = run(*words)
  assert again.returncode == 1
  (line,) = binaries.messages(again)
  assert line.startswith(f'Error: {out} holds a data set already')
  assert run(*words, '--overwrite').returncode == 0


@pytest.mark.parametrize(
  ('words', 'sentence'),
  [
    ((), 'Flag --output is missing'),
    (('--split=trian',), "has no split 'trian'"),
    (('--against=train',), "--against names 'train' itself"),
    (('--confirm=embedding',), 'needs --checkpoint'),
    (('--checkpoint=x',), '--checkpoint is for --confirm=embedding'),
  ],
)
def test_wrong_use(data, tmp_path, words, sentence):
  output = (f'--output={tmp_path / "out"}',) if words else ()
  done = run(f'--data_dir={data}', *output, *words)
  assert done.returncode == 1
  (line,) = binaries.messages(done)
  assert line.startswith('Error: ')
  assert sentence in line
  assert not (tmp_path / 'out').exists()


def test_confirmed_by_a_checkpoint(data, tmp_path):
  # Here, as these import TensorFlow.
  from official_repro import embedding
  from tests.test_predict import _save_run

  run_dir, _ = _save_run(tmp_path / 'run')
  pictures = [encode(textured(i)) for i in range(3)]
  found = embedding.features(pictures, str(run_dir))
  classifier = embedding.load(str(run_dir))
  assert found.dtype == np.float32
  assert len(found) == 3
  one = classifier(classifier.decode(pictures[1])[None], top=1)['features'][0]
  np.testing.assert_allclose(found[1], one, rtol=1e-4, atol=1e-5)
  done = run(
    f'--data_dir={data}',
    f'--output={tmp_path / "out"}',
    '--against=validation',
    '--confirm=embedding',
    f'--checkpoint={run_dir}',
    '--min_score=0.9',
  )
  assert done.returncode == 0, done.stderr
  assert 'leak-half' not in ids_in(tmp_path / 'out')
  wrong = run(
    f'--data_dir={data}',
    f'--output={tmp_path / "other"}',
    '--confirm=embedding',
    f'--checkpoint={tmp_path}',
  )
  assert wrong.returncode == 1
  assert 'no params.yaml' in wrong.stderr
