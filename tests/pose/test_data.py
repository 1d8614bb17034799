"""Batches of crops: where a picture's pixels go, in which order people come."""

import numpy as np
import pytest
import tensorflow as tf

from official_repro.data import batching, manifest
from pose import data as data_lib
from pose import people as people_lib
from tests.pose import folders

HEIGHT, WIDTH = 65, 49
PAINTED = folders.person((20, 30, 180, 150))
# Joint and colour of what is painted; their places are whole numbers.
LEFT_WRIST, RIGHT_WRIST, LEFT_ANKLE = MARKS = (9, 10, 15)
TWO = [
  folders.person((5, 8, 60, 40)),
  folders.person((8, 4, 50, 30), crowd=True),
  folders.person((10, 50, 63, 90), visible=[2] * 8 + [0] * 9),
  folders.person((2, 3, 20, 12), visible=0),
]


def painted():
  """Black, with a red, a green and a blue square of 9 pixels at MARKS."""
  image = np.zeros((200, 180, 3), np.uint8)
  for channel, k in enumerate(MARKS):
    y, x = np.round(PAINTED.joints[k, :2]).astype(int)
    image[y - 4 : y + 5, x - 4 : x + 5, channel] = 255
  return image


def centre_of(image, channel):
  """Centroid of what has more of a colour than of the others: y, x."""
  image = image.astype(float)
  others = np.delete(image, channel, -1).max(-1)
  weights = np.maximum(image[..., channel] - others, 0)
  places = np.indices(weights.shape)
  return (places * weights).sum((1, 2)) / weights.sum()


ROWS = [
  folders.example('painted', [PAINTED], image=painted()),
  folders.example('nobody'),
  folders.example('two', TWO, (64, 96)),
  folders.example('dot', [folders.person((0, 0, 3, 2))], (3, 2)),
  folders.example('unnamed'),
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return folders.write(
    tmp_path_factory.mktemp('data'), num_shards=2, train=ROWS
  )


@pytest.fixture(scope='module')
def one(tmp_path_factory):
  """A folder of nothing but the painted picture."""
  return folders.write(tmp_path_factory.mktemp('one'), train=ROWS[:1])


@pytest.fixture(scope='module')
def one_person_each(tmp_path_factory):
  """Two pictures with one and with two to be learnt from."""
  return folders.write(tmp_path_factory.mktemp('each'), train=ROWS[1:3])


def training(folder, **options):
  split = manifest.Dataset.load(folder).split('train')
  people = people_lib.read(manifest.Dataset.load(folder), 'train')
  options = {
    'batch_size': 1,
    'height': HEIGHT,
    'width': WIDTH,
    'shuffle_group': 16,
    'max_others': 3,
    **options,
  }
  return data_lib.training_dataset(
    split, people.parts(len(split.shards)), **options
  )


def evaluation(folder, boxes, **options):
  split = manifest.Dataset.load(folder).split('train')
  options = {'batch_size': 4, 'height': HEIGHT, 'width': WIDTH, **options}
  return data_lib.evaluation_dataset(split, boxes, **options)


def rows(dataset, count=None):
  """The first `count` (or all) rows of a dataset: {key: array}."""
  batches, found = [], 0
  for batch in dataset:
    batches.append({k: v.numpy() for k, v in batch.items()})
    found += len(batches[-1]['image'])
    if count and found >= count:
      break
  return {
    key: np.concatenate([b[key] for b in batches])[:count] for key in batches[0]
  }


def same(found, expected):
  assert found.keys() == expected.keys()
  for key, value in found.items():
    np.testing.assert_array_equal(value, expected[key], err_msg=key)


@pytest.fixture(scope='module')
def stream(folder):
  return training(folder)


@pytest.fixture(scope='module')
def trained(stream):
  """The first 40 people: ten epochs of four."""
  return rows(stream, 40)


def test_what_training_gives(stream):
  assert stream.element_spec == {
    'image': tf.TensorSpec([1, HEIGHT, WIDTH, 3], tf.uint8),
    'joints': tf.TensorSpec([1, 17, 3], tf.float32),
    'others': tf.TensorSpec([1, 3, 17, 3], tf.float32),
  }
  assert b'PyFunc' not in stream._as_serialized_graph().numpy()


def test_every_usable_person_comes_once_an_epoch(trained):
  def who(image, joints, others):
    """Whose row it is: what tells the four apart."""
    if (others[..., 2] > 0).any():
      return 'whole of two' if joints[:, 2].all() else 'part of two'
    colours = image.max((0, 1)).astype(int) - image.min((0, 1))
    return 'painted' if (colours > 200).all() else 'dot'

  order = [
    who(*row)
    for row in zip(trained['image'], trained['joints'], trained['others'])
  ]
  epochs = {tuple(order[i : i + 4]) for i in range(0, 40, 4)}
  names = ['dot', 'painted', 'part of two', 'whole of two']
  assert all(sorted(epoch) == names for epoch in epochs)
  assert len(epochs) > 4


def test_a_start_in_the_middle_is_the_same_stream(folder, trained):
  same(
    rows(training(folder, start_position=7), 9),
    {k: v[7:16] for k, v in trained.items()},
  )
  other = rows(training(folder, start_position=7, seed=1), 9)
  assert np.any(other['joints'] != trained['joints'][7:16])


def test_pipelines_together_give_the_batches(folder, trained):
  found = []
  for i in range(2):
    context = tf.distribute.InputContext(2, i, 2)
    dataset = training(
      folder, batch_size=4, start_position=4, input_context=context
    )
    assert dataset.element_spec['image'].shape[0] == 2
    found.append(rows(dataset, 6))
  for key, whole in trained.items():
    # [step, pipeline, row] is the order of the global batch.
    split = [f[key].reshape(3, 2, *whole.shape[1:]) for f in found]
    together = np.concatenate(split, axis=1).reshape(12, *whole.shape[1:])
    np.testing.assert_array_equal(together, whole[4:16])


def test_joints_point_to_where_their_pixels_went(one):
  found = rows(training(one), 16)
  mirrored = []
  for image, joints in zip(found['image'], found['joints']):
    red, green, blue = (centre_of(image, channel) for channel in range(3))
    # Red is the left wrist, and the person faces us: to the right of green
    # unless mirrored; then it looks like a right one, and is called so.
    mirrored.append(red[1] < green[1])
    names = (RIGHT_WRIST, LEFT_WRIST, LEFT_ANKLE + 1)
    for place, k in zip((red, green, blue), names if mirrored[-1] else MARKS):
      np.testing.assert_allclose(place, joints[k, :2], atol=0.15)
    assert joints[LEFT_WRIST, 1] > joints[RIGHT_WRIST, 1]
  assert 2 <= sum(mirrored) <= 14


def test_scale_is_drawn_from_the_range(one):
  joints = rows(training(one, flip=False, scale=(1.0, 1.5)), 24)['joints']
  # From the nose to the ankles there are .85 * 160 pixels.
  found = 0.85 * 160 / (joints[:, LEFT_ANKLE, 0] - joints[:, 0, 0])
  # 160 pixels in 64 steps, and 120 in 48: 2.5 pixels a step.
  assert 2.5 <= found.min() < 2.7
  assert 3.55 < found.max() <= 3.75


def test_others_are_neither_the_person_nor_a_crowd(one_person_each):
  found = rows(training(one_person_each, flip=False, scale=(1.0, 1.0)), 4)
  seen = []
  for joints, others in zip(found['joints'], found['others']):
    somebody = (others[..., 2] > 0).any(-1)
    assert somebody.tolist() == [True, False, False]
    own, other = (0, 2) if joints[:, 2].all() else (2, 0)
    y0, x0, y1, x1 = TWO[own].box
    step = max((y1 - y0) / (HEIGHT - 1), (x1 - x0) / (WIDTH - 1))
    middle = np.array([y0 + y1, x0 + x1]) / 2
    origin = middle - step * np.array([HEIGHT - 1, WIDTH - 1]) / 2
    for who, place in ((own, joints), (other, others[0])):
      labelled = TWO[who].joints[:, 2] > 0
      expected = (TWO[who].joints[labelled, :2] - origin) / step
      np.testing.assert_allclose(place[labelled, :2], expected, atol=1e-3)
      np.testing.assert_array_equal(place[:, 2], TWO[who].joints[:, 2])
    seen.append(own)
  assert sorted(seen) == [0, 0, 2, 2]


def test_of_many_others_the_first_are_told(tmp_path):
  many = [folders.person((0, 3 * i, 20, 3 * i + 20)) for i in range(6)]
  folder = folders.write(tmp_path, train=[folders.example('many', many)])
  found = rows(training(folder, max_others=2), 2)
  assert found['others'].shape == (2, 2, 17, 3)
  assert (found['others'][..., 2] == 2).all()


BOXES = {
  'two': np.float32([[5, 8, 60, 40], [10, 50, 63, 90], [-20, -9, 3, 200]]),
  'nobody': np.zeros((0, 4), np.float32),
  'painted': np.float32([[20, 30, 180, 150], [40, 40, 90, 140]]),
  'dot': np.float32([[0, 0, 3, 2]]),
}


@pytest.fixture(scope='module')
def looked_at(folder):
  """Sizes of batches, and the rows of BOXES."""
  dataset = evaluation(folder, BOXES)
  assert b'PyFunc' not in dataset._as_serialized_graph().numpy()
  batches = [{k: v.numpy() for k, v in b.items()} for b in dataset]
  whole = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
  return [len(b['image']) for b in batches], whole


def test_evaluation_gives_all_boxes_in_file_order(looked_at):
  sizes, found = looked_at
  assert sizes == [4, 2]
  names = [batching.text_of(name) for name in found['source_id']]
  # Two shards: 'painted', 'two' and 'unnamed', of which BOXES has nothing, then
  # 'nobody' and 'dot'.
  assert names == ['painted', 'painted', 'two', 'two', 'two', 'dot']
  assert found['number'].tolist() == [0, 1, 0, 1, 2, 0]
  np.testing.assert_array_equal(
    found['box'], np.concatenate([BOXES['painted'], BOXES['two'], BOXES['dot']])
  )
  assert found['image'].dtype == np.uint8
  assert found['origin'].dtype == found['step'].dtype == np.float32


def test_origin_and_step_lead_back_to_the_picture(looked_at):
  image, origin, step = (
    looked_at[1][k][0] for k in ('image', 'origin', 'step')
  )
  # 160 / 64 = 120 / 48 = 2.5, times 1.25; the middle is (100, 90).
  assert step == pytest.approx(3.125)
  np.testing.assert_allclose(origin, [100 - 32 * 3.125, 90 - 24 * 3.125])
  for channel, k in enumerate(MARKS):
    np.testing.assert_allclose(
      origin + step * centre_of(image, channel), PAINTED.joints[k, :2], atol=0.4
    )


def test_pipelines_of_an_evaluation_share_the_boxes(folder, looked_at):
  # Batches of 4 are cut into halves; of the last 2 the first one has both.
  for i, places in enumerate(([0, 1, 4, 5], [2, 3])):
    context = tf.distribute.InputContext(2, i, 2)
    found = rows(evaluation(folder, BOXES, input_context=context))
    same(found, {k: v[places] for k, v in looked_at[1].items()})


@pytest.mark.parametrize('kind', [training, evaluation])
@pytest.mark.parametrize(
  'options, message',
  [
    ({'batch_size': 0}, 'global_batch_size must be at least 1, got 0'),
    ({'height': 1}, 'at least 2 x 2 pixels, got 1 x 49'),
    ({'scale': -1}, 'must be positive and ascending'),
  ],
)
def test_wrong_arguments_are_told(folder, kind, options, message):
  if kind is training and 'scale' in options:
    options = {'scale': (1.5, 1.0)}
  boxes = () if kind is training else (BOXES,)
  with pytest.raises(ValueError, match=message):
    kind(folder, *boxes, **options)


def test_nobody_to_learn_from_or_to_look_at(folder, tmp_path):
  rows = [folders.example('a', [PAINTED._replace(crowd=True)], (200, 180))]
  with pytest.raises(ValueError, match='No person .* --kind=keypoints'):
    training(folders.write(tmp_path, train=rows))
  with pytest.raises(ValueError, match='no box to look into'):
    evaluation(folder, {'nobody': BOXES['nobody']})
