import subprocess
import sys

import cv2
import numpy as np
import pytest

from official_repro.data.mini import (
  MiniJft,
  contact_sheet,
  encode_jpeg,
  encode_png,
  taxonomy,
)

DRAWS = 6000


@pytest.fixture(scope='module')
def mini():
  return MiniJft(seed=0, size=64)


@pytest.fixture(scope='module')
def contents(mini):
  return [mini.content(i) for i in range(DRAWS)]


def same(a, b):
  return (
    np.array_equal(a.image, b.image)
    and a.given_labels == b.given_labels
    and a.true_labels == b.true_labels
    and a.source_id == b.source_id
    and [o.leaf_id for o in a.objects] == [o.leaf_id for o in b.objects]
    and all(np.array_equal(x.box, y.box) for x, y in zip(a.objects, b.objects))
  )


def test_image_is_a_pure_function_of_seed_and_index(mini):
  forward = [mini.example(i) for i in range(12)]
  other = MiniJft(seed=0, size=64)
  backward = [other.example(i) for i in reversed(range(12))][::-1]
  assert all(same(a, b) for a, b in zip(forward, backward))
  assert not same(forward[0], MiniJft(seed=1, size=64).example(0))
  assert not np.array_equal(forward[0].image, mini.dense_example(0).image)
  images = {e.image.tobytes() for e in forward}
  assert len(images) == 12
  assert len({e.source_id for e in forward}) == 12


def test_content_is_what_example_draws(mini, contents):
  for i in range(20):
    example = mini.example(i)
    assert example.given_labels == contents[i].given
    assert example.true_labels == contents[i].true
    assert [o.leaf_id for o in example.objects] == contents[i].leaf_ids


def test_images_are_the_same_in_another_process(mini):
  code = (
    'import hashlib; from official_repro.data.mini import MiniJft;'
    'm = MiniJft(seed=3, size=64);'
    'h = hashlib.sha256(b"".join(m.example(i).image.tobytes() for i in '
    'range(5)));'
    'import sys; assert "tensorflow" not in sys.modules; print(h.hexdigest())'
  )
  runs = [
    subprocess.run(
      [sys.executable, '-c', code], capture_output=True, text=True, check=True
    ).stdout
    for _ in range(2)
  ]
  assert runs[0] == runs[1]
  assert len(runs[0].strip()) == 64


def test_picture_type_and_contrast(mini):
  for i in range(10):
    image = mini.example(i).image
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert image.std() > 8


def test_label_space_is_large_and_deep(mini):
  hierarchy = mini.hierarchy
  assert hierarchy.num_classes >= 150
  assert hierarchy.max_depth >= 4
  truck = hierarchy.index('red truck')
  parents = {hierarchy.names[p] for p in hierarchy.parents[truck]}
  assert parents == {'truck', 'red thing'}
  above = {hierarchy.names[a] for a in hierarchy.ancestors(truck)}
  assert {'motor vehicle', 'land vehicle', 'vehicle', 'wheeled thing'} <= above
  assert len(mini.taxonomy.leaves) >= 150
  leaves = {leaf.id for leaf in mini.taxonomy.leaves}
  assert leaves == {
    i for i in range(hierarchy.num_classes) if not hierarchy.children(i)
  }


def test_leaves_follow_zipf(mini, contents):
  probs = mini.taxonomy.leaf_probs
  assert np.all(np.diff(probs) < 0)
  assert probs[0] / probs[-1] > 50
  counts = np.zeros(mini.hierarchy.num_classes)
  for content in contents:
    counts[content.leaf_ids[0]] += 1
  drawn = counts[[leaf.id for leaf in mini.taxonomy.leaves]] / DRAWS
  assert abs(drawn[:20].sum() - probs[:20].sum()) < 0.03
  assert drawn[-60:].sum() < 0.12
  # Log-log slope of the bulk is close to that of 1 / rank.
  ranks = np.arange(len(probs)) + 1
  slope = np.polyfit(np.log(ranks[10:100]), np.log(drawn[10:100] + 1e-9), 1)[0]
  assert -1.3 < slope < -0.6


def test_labels_per_image_and_wrong_share(contents):
  given = [c.given for c in contents]
  assert abs(np.mean([len(g) for g in given]) - 1.26) < 0.05
  assert min(map(len, given)) == 1
  assert all(len(set(g)) == len(g) for g in given)
  wrong = sum(label not in c.true for c in contents for label in c.given)
  assert abs(wrong / sum(map(len, given)) - 0.2) < 0.02


def test_given_labels_are_mostly_leaves(mini, contents):
  given = [label for c in contents for label in c.given]
  inner = np.mean([bool(mini.hierarchy.children(label)) for label in given])
  assert 0.05 < inner < 0.2


def test_fill_in_raises_recall(mini, contents):
  def recall(labels):
    found = sum(len(set(a) & set(c.true)) for a, c in zip(labels, contents))
    return found / sum(len(c.true) for c in contents)

  before = recall([c.given for c in contents])
  after = recall([mini.hierarchy.fill(c.given) for c in contents])
  assert before < 0.2
  assert 0.45 < after < 0.85


def test_dense_labels_are_all_that_is_true(mini):
  for i in range(30):
    example = mini.dense_example(i)
    leaves = [o.leaf_id for o in example.objects]
    assert example.given_labels == example.true_labels
    assert example.true_labels == mini.hierarchy.fill(leaves)
    for label in example.true_labels:
      assert set(mini.hierarchy.ancestors(label)) <= set(example.true_labels)


def test_dense_split_is_more_balanced(mini):
  def top_share(split):
    counts = np.zeros(mini.hierarchy.num_classes)
    for i in range(2000):
      counts[mini.content(i, split).leaf_ids] += 1
    return np.sort(counts)[-10:].sum() / counts.sum()

  assert top_share('dense') < 0.6 * top_share('train')


def test_weights_grow_with_frequency(mini):
  weights = mini.hierarchy.weights
  assert np.all(weights > 0)
  assert weights.mean() == pytest.approx(1.0, abs=1e-4)
  index = mini.hierarchy.index
  assert weights[index('animal')] > weights[index('dog')]
  common, rare = mini.taxonomy.leaves[0], mini.taxonomy.leaves[-1]
  # Shares 1 / 3 and 1 / (n + 2) of the same sum, so the square root of ratio.
  ratio = ((len(mini.taxonomy.leaves) + 2) / 3) ** 0.5
  assert weights[common.id] / weights[rare.id] == pytest.approx(ratio, 1e-3)


def test_knobs_change_noise_and_missing():
  def draw(**knobs):
    mini = MiniJft(seed=2, **knobs)
    return [mini.content(i) for i in range(500)]

  clean = draw(noise=0.0, missing=0.0)
  assert all(set(c.given) <= set(c.true) for c in clean)
  assert all(len(c.given) == len(c.leaf_ids) for c in clean)
  assert all(len(c.given) == 1 for c in draw(missing=1.0))
  assert all(not set(c.given) & set(c.true) for c in draw(noise=1.0))
  # The label knobs leave the pictures alone.
  noisy = draw(noise=0.9, missing=0.3)
  assert [c.leaf_ids for c in noisy] == [c.leaf_ids for c in clean]
  image = MiniJft(seed=2, noise=0.9).example(3).image
  np.testing.assert_array_equal(image, MiniJft(seed=2).example(3).image)


@pytest.mark.parametrize('num_classes', [20, 21, 57, 150, 300])
def test_num_classes_is_exact(num_classes):
  mini = MiniJft(num_classes=num_classes, size=32)
  assert mini.hierarchy.num_classes == num_classes
  assert mini.example(0).image.shape == (32, 32, 3)
  for i in range(200):
    content = mini.content(i)
    assert content.given
    assert max(content.given) < num_classes


@pytest.mark.parametrize(
  'knobs, word',
  [
    ({'seed': -1}, 'seed'),
    ({'seed': 1.5}, 'seed'),
    ({'size': 8}, 'size'),
    ({'noise': 1.2}, 'noise'),
    ({'missing': -0.1}, 'missing'),
    ({'clutter': 3}, 'clutter'),
    ({'num_classes': 5}, 'num_classes'),
    ({'num_classes': 10**6}, 'num_classes'),
  ],
)
def test_bad_knobs(knobs, word):
  with pytest.raises(ValueError, match=word) as error:
    MiniJft(**knobs)
  message = str(error.value)
  assert str(next(iter(knobs.values()))) in message
  assert '\n' not in message


def test_bad_index_and_split(mini):
  with pytest.raises(ValueError, match='-1'):
    mini.example(-1)
  with pytest.raises(ValueError, match='train, dense'):
    mini.content(0, 'test')


def test_clutter_adds_unlabelled_items():
  bare, full = MiniJft(clutter=0.0), MiniJft(clutter=1.0)

  def extra(mini):
    examples = [mini.example(i) for i in range(40)]
    return sum(len(e.objects[0].scene.items) - len(e.objects) for e in examples)

  assert extra(bare) == 0
  assert extra(full) > 100


def test_every_leaf_has_a_segmentation_class(mini):
  assert len(taxonomy.SEGMENT_CLASSES) == 20
  used = {
    taxonomy.segment_class(mini.hierarchy, leaf.id)
    for leaf in mini.taxonomy.leaves
  }
  assert used == set(range(1, 21))
  with pytest.raises(ValueError, match='red thing'):
    taxonomy.segment_class(mini.hierarchy, mini.hierarchy.index('red thing'))


def test_encoding(mini):
  image = mini.example(0).image
  png = np.frombuffer(encode_png(image), np.uint8)
  back = cv2.imdecode(png, cv2.IMREAD_COLOR)[..., ::-1]
  np.testing.assert_array_equal(back, image)
  jpeg = encode_jpeg(image)
  assert jpeg[:2] == b'\xff\xd8'
  back = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
  assert np.abs(back[..., ::-1].astype(int) - image).mean() < 6
  labels = (np.arange(64 * 64) % 21).reshape(64, 64).astype(np.uint8)
  png = np.frombuffer(encode_png(labels), np.uint8)
  back = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
  np.testing.assert_array_equal(back, labels)
  with pytest.raises(ValueError, match='uint8'):
    encode_jpeg(image.astype(np.float32))


def test_contact_sheet(mini):
  examples = [mini.example(i) for i in range(5)]
  sheet = contact_sheet(examples, mini.hierarchy.names, columns=4, tile=80)
  assert sheet.dtype == np.uint8
  assert sheet.shape[1] == 320
  assert sheet.shape[0] >= 2 * 80
  # The first picture sits in the corner, and there is text below it.
  first = cv2.resize(examples[0].image, (80, 80))
  np.testing.assert_array_equal(sheet[:80, :80], first)
  assert sheet[80:100, :80].min() < 100
  with pytest.raises(ValueError, match='got none'):
    contact_sheet([], mini.hierarchy.names)
