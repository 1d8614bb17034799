"""Pictures for people: sheets, predictions with bars, marks on a picture.

Drawn with Pillow; no TensorFlow, no display.
"""

import functools
from collections.abc import Sequence
from typing import Optional

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Okabe and Ito's colours, told apart with any colour vision; without black.
OKABE_ITO = {
  'orange': (230, 159, 0),
  'sky blue': (86, 180, 233),
  'green': (0, 158, 115),
  'yellow': (240, 228, 66),
  'blue': (0, 114, 178),
  'vermilion': (213, 94, 0),
  'purple': (204, 121, 167),
}
DARK, LIGHT = (20, 20, 20), (255, 255, 255)
_BACKGROUND = (255, 255, 255)
_TEXT = (32, 32, 32)
_FAINT = (110, 110, 110)
_TRACK = (232, 236, 240)
# Blue: told from the grey of the track with any colour vision, and in print.
_BAR = (31, 105, 178)
_RIGHT = (0, 110, 60)
_MARGIN = 6
_FONT_SIZE = 12
_LINE = 16
_GRID_GAP, _GRID_HEAD, _GRID_INK = 8, 20, (20, 20, 20)


def label_sheet(
  images: np.ndarray,
  labels: Sequence[Sequence[str]],
  titles: Optional[Sequence[str]] = None,
  *,
  cell: int = 180,
  max_lines: int = 6,
) -> np.ndarray:
  """Puts images with their labels into a grid, as square as can be.

  Args:
    images: [N, H, W, 3] uint8 RGB, or a sequence of such images of any size;
      each is fitted into a square of `cell` pixels, its aspect kept.
    labels: N lists of lines written below the images. A line that begins with
      '+ ' (right) is green, with '- ' (wrong) grey; too long a line is cut,
      more lines than `max_lines` are counted instead of shown.
    titles: optional N texts above the images.
    cell: side of an image's square in pixels.
    max_lines: lines of text below an image.

  Returns:
    [H', W', 3] uint8 RGB.

  Raises:
    ValueError: no image, or as many labels or titles as there are not images.
  """
  count = len(images)
  if not count:
    raise ValueError('label_sheet got no image to draw.')
  for name, texts in (('labels', labels), ('titles', titles)):
    if texts is not None and len(texts) != count:
      raise ValueError(
        f'label_sheet got {count} images but {len(texts)} {name}.'
      )
  lines = min(max_lines, max(len(rows) for rows in labels))
  head = _LINE if titles is not None else 0
  width = cell + 2 * _MARGIN
  height = head + cell + lines * _LINE + 3 * _MARGIN
  columns = int(np.ceil(np.sqrt(count)))
  rows = -(-count // columns)
  sheet = Image.new('RGB', (columns * width, rows * height), _BACKGROUND)
  draw = ImageDraw.Draw(sheet)
  for i in range(count):
    left = i % columns * width + _MARGIN
    top = i // columns * height + _MARGIN
    if titles is not None:
      _write(draw, (left, top), titles[i], cell, _FAINT)
    picture = _fit(images[i], cell)
    place = (
      left + (cell - picture.width) // 2,
      top + head + (cell - picture.height) // 2,
    )
    sheet.paste(picture, place)
    text_top = top + head + cell + _MARGIN
    for j, line in enumerate(_shown(labels[i], max_lines)):
      _write(draw, (left, text_top + j * _LINE), line, cell, _color(line))
  return np.asarray(sheet)


def grid(
  pictures: Sequence[np.ndarray],
  columns: int,
  cell: int = 360,
  titles: Sequence[str] = (),
) -> np.ndarray:
  """Puts pictures of any size into a grid, row by row.

  Args:
    pictures: N uint8 [H, W, 3], at least one.
    columns: pictures in a row.
    cell: side of a picture's square in pixels; larger ones are reduced.
    titles: of the columns, written above each picture; empty: none.

  Returns:
    uint8 [H', W', 3].
  """
  head = _GRID_HEAD if titles else 0
  rows = -(-len(pictures) // columns)
  step = cell + _GRID_GAP
  size = (columns * step + _GRID_GAP, rows * (step + head) + _GRID_GAP)
  page = Image.new('RGB', size, _BACKGROUND)
  draw = ImageDraw.Draw(page)
  for i, pixels in enumerate(pictures):
    left = i % columns * step + _GRID_GAP
    top = i // columns * (step + head) + _GRID_GAP
    picture = Image.fromarray(pixels)
    picture.thumbnail((cell, cell), Image.Resampling.LANCZOS)
    left += (cell - picture.width) // 2
    if titles:
      text = titles[i % len(titles)]
      draw.text((left, top), text, fill=_GRID_INK, font=_font(14))
    page.paste(picture, (left, top + head))
  return np.asarray(page)


def pair_sheet(pairs: Sequence[tuple], cell: int = 360) -> np.ndarray:
  """A grid of pairs of pictures: what was found beside what is true.

  Args:
    pairs: N tuples of two uint8 [H, W, 3].
    cell: as for `grid`.

  Returns:
    uint8 [H', W', 3], a line of text above each picture.

  Raises:
    ValueError: there is no pair.
  """
  if not pairs:
    raise ValueError('pair_sheet got no picture to draw.')
  columns = 2 * max(1, int(np.ceil(np.sqrt(len(pairs) / 2))))
  pictures = [picture for pair in pairs for picture in pair]
  return grid(pictures, columns, cell, ('found', 'true'))


def legend(entries: Sequence[tuple[str, tuple]], width: int) -> np.ndarray:
  """Writes names beside squares of their colours, line after line.

  Args:
    entries: (name, (r, g, b)).
    width: of the picture in pixels; lines are broken between names.

  Returns:
    uint8 [H', width, 3].
  """
  font, square, step = _font(14), 14, 24
  places, left, line = [], _GRID_GAP, 0
  for name, _ in entries:
    length = square + 4 + font.getlength(name) + 2 * _GRID_GAP
    if left > _GRID_GAP and left + length > width:
      left, line = _GRID_GAP, line + 1
    places.append((left, _GRID_GAP + line * step))
    left += length
  height = (line + 1) * step + _GRID_GAP
  page = Image.new('RGB', (width, height), _BACKGROUND)
  draw = ImageDraw.Draw(page)
  for (name, color), (left, top) in zip(entries, places):
    place = (left, top, left + square, top + square)
    draw.rectangle(place, fill=color, outline=_FAINT)
    draw.text((left + square + 4, top), name, fill=_TEXT, font=font)
  return np.asarray(page)


def prediction_picture(
  image: np.ndarray,
  labels: Sequence[str],
  scores: Sequence[float],
  title: str = '',
  *,
  size: int = 320,
) -> np.ndarray:
  """Draws an image beside its labels with bars of their probabilities.

  Args:
    image: [H, W, 3] uint8 RGB, fitted into a square of `size` pixels.
    labels: names, best first.
    scores: their probabilities; a full bar is 1.
    title: text above, e.g. the file's name.
    size: side of the image's square in pixels.

  Returns:
    [H', W', 3] uint8 RGB.

  Raises:
    ValueError: not as many scores as labels.
  """
  if len(labels) != len(scores):
    raise ValueError(
      f'prediction_picture got {len(labels)} labels but {len(scores)} scores.'
    )
  row, panel = 40, 300
  head = _LINE + _MARGIN
  picture = _fit(image, size)
  height = max(picture.height, row * len(labels)) + head + 2 * _MARGIN
  sheet = Image.new('RGB', (size + panel + 4 * _MARGIN, height), _BACKGROUND)
  draw = ImageDraw.Draw(sheet)
  _write(draw, (_MARGIN, _MARGIN), title, sheet.width - 2 * _MARGIN, _FAINT)
  place = (_MARGIN + (size - picture.width) // 2, head + _MARGIN)
  sheet.paste(picture, place)
  left = size + 3 * _MARGIN
  for i, (label, score) in enumerate(zip(labels, scores)):
    top = head + _MARGIN + i * row
    _bar(draw, (left, top), panel, label, float(score))
  return np.asarray(sheet)


def enlarged(image: np.ndarray, least_side: int) -> tuple[Image.Image, float]:
  """Makes a small picture large enough to draw on.

  Args:
    image: uint8 [H, W, 3].
    least_side: of the picture's longer side, in pixels.

  Returns:
    A picture of its own and the factor, 1.0 for a larger one.
  """
  picture = Image.fromarray(np.asarray(image, np.uint8))
  factor = max(1.0, least_side / max(picture.size))
  if factor > 1:
    size = tuple(max(1, round(n * factor)) for n in picture.size)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
  return picture, factor


def outline(draw: ImageDraw.ImageDraw, box, thick: int, color, size) -> None:
  """Draws a box with a dark rim, so that it stands out from any picture.

  Args:
    draw: of the picture.
    box: ymin, xmin, ymax, xmax in pixels, far edges exclusive.
    thick: pixels of the coloured line.
    color: (r, g, b).
    size: (width, height) of the picture, at whose edge the box is cut.
  """
  ymin, xmin, ymax, xmax = np.round(box).astype(int).tolist()
  xmin, ymin = max(0, xmin), max(0, ymin)
  xmax = max(xmin + 1, min(size[0], xmax)) - 1
  ymax = max(ymin + 1, min(size[1], ymax)) - 1
  draw.rectangle((xmin, ymin, xmax, ymax), outline=DARK, width=thick + 2)
  inner = (xmin + 1, ymin + 1, xmax - 1, ymax - 1)
  if inner[2] > inner[0] and inner[3] > inner[1]:
    draw.rectangle(inner, outline=color, width=thick)


def tag(
  draw: ImageDraw.ImageDraw, box, text: str, color, size, taken: list
) -> None:
  """Writes at a box's upper edge, or where it hides no other tag.

  Args:
    draw: of the picture.
    box: ymin, xmin, ymax, xmax in pixels.
    text: one line.
    color: (r, g, b) of the ground; the ink is black or white.
    size: (width, height) of the picture.
    taken: places of the tags before; this one's is added.
  """
  font = _font(max(13, round(max(size) / 45)))
  left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
  width, height = right - left + 8, bottom - top + 6
  ymin, xmin, ymax, _ = np.round(box).astype(int).tolist()
  x = int(np.clip(xmin, 0, max(0, size[0] - width)))
  for y in (ymin - height, ymin, ymax - height, ymax, ymin + height):
    y = int(np.clip(y, 0, max(0, size[1] - height)))
    place = (x, y, x + width, y + height)
    if not any(_overlap(place, other) for other in taken):
      break
  taken.append(place)
  draw.rectangle(place, fill=color, outline=DARK)
  draw.text((x + 4 - left, y + 3 - top), text, fill=_ink(color), font=font)


def _overlap(a, b):
  return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ink(color):
  """Black or white, whichever stands out."""
  light = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
  return DARK if light > 110 else LIGHT


def _bar(draw, place, width, label, score):
  left, top = place
  number = f'{score:.3f}'
  number_width = _font().getlength(number)
  _write(draw, place, label, width - number_width - 2 * _MARGIN, _TEXT)
  _write(draw, (left + width - number_width, top), number, width, _TEXT)
  bar_top, bar_bottom = top + _LINE + 2, top + _LINE + 12
  draw.rectangle((left, bar_top, left + width - 1, bar_bottom), fill=_TRACK)
  filled = round(width * min(max(score, 0.0), 1.0))
  if filled:
    draw.rectangle((left, bar_top, left + filled - 1, bar_bottom), fill=_BAR)


@functools.lru_cache(maxsize=8)
def _font(size=_FONT_SIZE):
  return ImageFont.load_default(size)


def _fit(image, side):
  """Resizes to fit a square, its longer side filling it."""
  picture = Image.fromarray(np.asarray(image, np.uint8))
  scale = side / max(picture.size)
  size = tuple(max(1, round(n * scale)) for n in picture.size)
  method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
  return picture.resize(size, method)


def _shown(lines, max_lines):
  if len(lines) <= max_lines:
    return list(lines)
  rest = len(lines) - max_lines + 1
  return [*lines[: max_lines - 1], f'... and {rest} more']


def _color(line):
  if line.startswith('+ '):
    return _RIGHT
  return _FAINT if line.startswith('- ') else _TEXT


def _write(draw, place, text, width, color):
  draw.text(place, _cut(text, width), fill=color, font=_font())


def _cut(text, width):
  """Shortens a text to `width` pixels, on one line."""
  text = ' '.join(str(text).split())
  if _font().getlength(text) <= width:
    return text
  while text and _font().getlength(text + '...') > width:
    text = text[:-1]
  return text.rstrip() + '...'
