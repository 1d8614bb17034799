import numpy as np
import pytest

from official_repro.core import drawing


def _images(count, side=20):
  colors = np.arange(count * 3).reshape(count, 1, 1, 3) * 7 % 200
  return np.broadcast_to(colors, (count, side, side, 3)).astype(np.uint8)


def test_sheet_shows_every_image_in_reading_order():
  images = _images(5)
  sheet = drawing.label_sheet(images, [['a']] * 5, cell=50, max_lines=2)
  # 3 x 2 cells of 50 + 2 * 6 wide and 50 + 16 + 3 * 6 high.
  assert sheet.shape == (2 * 84, 3 * 62, 3)
  assert sheet.dtype == np.uint8
  for i, image in enumerate(images):
    middle = sheet[i // 3 * 84 + 6 + 25, i % 3 * 62 + 6 + 25]
    np.testing.assert_array_equal(middle, image[0, 0])
  assert (sheet[84:, 124:] == 255).all()  # the empty sixth cell


def test_sheet_takes_images_of_several_sizes_and_keeps_their_aspect():
  wide = np.zeros((10, 40, 3), np.uint8)
  sheet = drawing.label_sheet([wide, _images(1)[0]], [[], []], cell=80)
  dark = (sheet[:, :92] == 0).all(axis=-1)
  assert dark.sum() == 80 * 20
  assert dark[6 + 30 : 6 + 50, 6:86].all()


def _ink(sheet):
  return int((sheet.min(axis=-1) < 200).sum())


def test_lines_are_drawn_cut_and_counted():
  white = np.full((1, 8, 8, 3), 255, np.uint8)
  draw = lambda lines, **kwargs: drawing.label_sheet(
    white, [lines], cell=100, **kwargs
  )
  assert _ink(draw([''])) == 0
  assert _ink(draw(['cat'])) > 20
  assert _ink(draw([''], titles=['a title'])) > 20
  long = draw(['x' * 500])
  assert (long[:, -6:] == 255).all()
  # Nothing outside the lines that were asked for.
  many = draw([str(i) for i in range(40)], max_lines=3)
  assert many.shape == draw(['1', '2', '3']).shape
  assert drawing._shown(['a', 'b', 'c', 'd'], 3) == ['a', 'b', '... and 2 more']


def test_right_and_wrong_differ_in_more_than_colour():
  white = np.full((1, 8, 8, 3), 255, np.uint8)
  right = drawing.label_sheet(white, [['+ cat']])
  wrong = drawing.label_sheet(white, [['- cat']])
  assert ((right[..., 1] - right[..., 0].astype(int)) > 40).any()
  assert (np.ptp(wrong.astype(int), axis=-1) == 0).all()


def test_text_with_line_breaks_and_other_scripts():
  white = np.full((1, 8, 8, 3), 255, np.uint8)
  assert _ink(drawing.label_sheet(white, [['two\nlines\t日本 é']])) > 20


def test_bars_are_as_long_as_the_probabilities():
  picture = drawing.prediction_picture(
    _images(1)[0], ['a', 'b', 'c', 'd'], [1.0, 0.5, 0.0, 1e-9], 'file.jpg'
  )
  blue = (picture == np.array(drawing._BAR)).all(axis=-1)
  lengths = sorted({int(n) for n in blue.sum(axis=1) if n}, reverse=True)
  assert lengths == [300, 150]


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: drawing.label_sheet([], []), 'no image'),
    (lambda: drawing.label_sheet(_images(2), [[]]), '2 images but 1 labels'),
    (
      lambda: drawing.label_sheet(_images(1), [[]], ['a', 'b']),
      '1 images but 2 titles',
    ),
    (
      lambda: drawing.prediction_picture(_images(1)[0], ['a'], []),
      '1 labels but 0 scores',
    ),
  ],
)
def test_refuses(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_grid_is_filled_row_by_row():
  page = drawing.grid(_images(3, side=40), columns=2, cell=40)
  # 8 pixels around each of 2 x 2 squares.
  assert page.shape == (2 * 48 + 8, 2 * 48 + 8, 3)
  for i, image in enumerate(_images(3)):
    found = page[28 + i // 2 * 48, 28 + i % 2 * 48]
    np.testing.assert_array_equal(found, image[0, 0])
  assert (page[56:, 56:] == 255).all()
  titled = drawing.grid(_images(3, side=40), 2, 40, ['left', 'right'])
  assert titled.shape == (2 * (48 + 20) + 8, 2 * 48 + 8, 3)
  assert _ink(titled[8:24, 8:48]) and _ink(titled[76:92, 8:48])


def test_legend_breaks_lines_where_names_do_not_fit():
  entries = [('first', (200, 0, 0)), ('second', (0, 0, 200))]
  wide = drawing.legend(entries, 400)
  narrow = drawing.legend(entries, 60)
  assert wide.shape == (32, 400, 3) and narrow.shape == (56, 60, 3)
  assert narrow[15, 15].tolist() == [200, 0, 0]
  assert narrow[39, 15].tolist() == [0, 0, 200]
  assert drawing.legend([], 50).shape == (32, 50, 3)
