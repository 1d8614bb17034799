import io

import numpy as np
import pytest
from PIL import Image

from deeplab import drawing

# As in VOC's own files.
VOC_COLORS = {
  0: (0, 0, 0),
  1: (128, 0, 0),
  2: (0, 128, 0),
  3: (128, 128, 0),
  4: (0, 0, 128),
  7: (128, 128, 128),
  8: (64, 0, 0),
  15: (192, 128, 128),
  20: (0, 64, 128),
  255: (224, 224, 192),
}


def test_color_map_is_vocs():
  colors = drawing.color_map()
  assert colors.shape == (256, 3) and colors.dtype == np.uint8
  for value, color in VOC_COLORS.items():
    assert tuple(colors[value]) == color
  assert len({tuple(c) for c in colors}) == 256
  colors[0] = 9
  assert not drawing.color_map()[0].any()


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64])
def test_palette_png_holds_indices_and_shows_colours(dtype):
  mask = np.array([[0, 1, 20], [255, 15, 2]], dtype)
  image = Image.open(io.BytesIO(drawing.palette_png(mask)))
  assert image.mode == 'P' and image.size == (3, 2)
  np.testing.assert_array_equal(np.asarray(image), mask)
  np.testing.assert_array_equal(
    np.asarray(image.convert('RGB')), drawing.colored(mask)
  )


@pytest.mark.parametrize(
  'mask, message',
  [
    (np.zeros((2, 2, 3), int), r'shape \(2, 2, 3\)'),
    (np.zeros((2, 2)), 'float64'),
    (np.array([[0, 256]]), '0 to 256'),
    (np.array([[-1, 3]]), '-1 to 3'),
  ],
)
def test_bad_mask(mask, message):
  with pytest.raises(ValueError, match=message):
    drawing.palette_png(mask)


def test_overlay_mixes_colours_and_leaves_the_background():
  image = np.full((1, 3, 3), 100, np.uint8)
  found = drawing.overlay(image, np.array([[0, 1, 255]]), opacity=0.5)
  # (100 + 128) / 2 = 114, (100 + 0) / 2 = 50; (100 + 224) / 2 = 162.
  assert found.dtype == np.uint8
  assert found[0].tolist() == [[100] * 3, [114, 50, 50], [162, 162, 146]]
  with pytest.raises(ValueError, match=r'\(1, 3\) and a mask of \(2, 3\)'):
    drawing.overlay(image, np.zeros((2, 3), int))


def test_without_padding():
  batch = {
    'image': np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3),
    'mask': np.arange(2 * 4 * 5).reshape(2, 4, 5),
    'image_size': np.array([[4, 5], [2, 3]]),
  }
  assert drawing.without_padding(batch, 1).shape == (2, 3, 3)
  found = drawing.without_padding(batch, 1, 'mask')
  assert found.tolist() == [[20, 21, 22], [25, 26, 27]]


def row(height, width, truth=1, prediction=2):
  return (
    np.full((height, width, 3), 50, np.uint8),
    np.full((height, width), truth),
    np.full((height, width), prediction),
  )


def test_sheet_has_picture_truth_and_prediction_side_by_side():
  page = drawing.sheet([row(240, 240), row(240, 240)], cell=240)
  # 8 pixels around each, 20 above for the title.
  assert page.shape == (2 * (248 + 20) + 8, 3 * 248 + 8, 3)
  middle = 8 + 20 + 120
  for y in (middle, middle + 268):
    colors = [tuple(page[y, 128 + 248 * i]) for i in range(3)]
    assert colors == [(50, 50, 50), (128, 0, 0), (0, 128, 0)]
  assert drawing.sheet([row(240, 240)[:2]], cell=240).shape[1] == 2 * 248 + 8


def test_sheet_enlarges_small_pictures_and_keeps_masks_sharp():
  mask = np.tile([[1, 2]], (4, 2))
  image = np.zeros((4, 4, 3), np.uint8)
  page = drawing.sheet([(image, mask, mask)], cell=240)
  part = page[28:268, 256:496].reshape(-1, 3)
  assert {tuple(c) for c in part} == {(128, 0, 0), (0, 128, 0)}


def test_legend_names_the_classes_that_are_there():
  names = ['background', 'cat', 'dog', 'bird']
  plain = drawing.sheet([row(240, 240, 255, 2)], cell=240)
  page = drawing.sheet([row(240, 240, 255, 2)], names, cell=240)
  legend = page[len(plain) :]
  colors = {tuple(c) for c in legend.reshape(-1, 3)}
  assert {(0, 128, 0), (224, 224, 192)} <= colors
  assert not {(128, 0, 0), (128, 128, 0), (0, 0, 0)} & colors
  np.testing.assert_array_equal(page[: len(plain)], plain)


@pytest.mark.parametrize('rows', [[], [row(4, 4), row(4, 4)[:2]], [[1]]])
def test_bad_sheet(rows):
  with pytest.raises(ValueError, match='lines of a picture and one or two'):
    drawing.sheet(rows)
