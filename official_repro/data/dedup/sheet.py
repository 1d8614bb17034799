"""A sheet of pairs for people to look at: what goes, beside what stays."""

import functools
import io
import pathlib
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_SIDE, _GAP, _MARGIN = 150, 4, 12
_FONT_SIZE, _LINE = 12, 16
_WHITE, _TEXT, _FAINT = (255, 255, 255), (32, 32, 32), (110, 110, 110)
_FRAME = (205, 205, 205)
_QUALITY = 90


def pair_sheet(pairs: Sequence[tuple], columns: int = 4) -> Image.Image:
  """Draws pairs in a grid.

  Args:
    pairs: of (JPEG or PNG file, likewise, lines of text below them). The first
      line is dark, the others grey.
    columns: pairs in a row.

  Returns:
    RGB.

  Raises:
    ValueError: there is no pair.
  """
  if not pairs:
    raise ValueError('pair_sheet got no pair to draw.')
  lines = max(len(texts) for *_, texts in pairs)
  columns = min(columns, len(pairs))
  width = 2 * _SIDE + _GAP + 2 * _MARGIN
  height = _SIDE + lines * _LINE + 2 * _MARGIN
  rows = -(-len(pairs) // columns)
  sheet = Image.new('RGB', (columns * width, rows * height), _WHITE)
  draw = ImageDraw.Draw(sheet)
  for i, (left, right, texts) in enumerate(pairs):
    x = i % columns * width + _MARGIN
    y = i // columns * height + _MARGIN
    _paste(sheet, draw, left, x, y)
    _paste(sheet, draw, right, x + _SIDE + _GAP, y)
    for n, text in enumerate(texts):
      place = (x, y + _SIDE + _GAP + n * _LINE)
      text = _cut(text, 2 * _SIDE + _GAP)
      draw.text(place, text, fill=_FAINT if n else _TEXT, font=_font())
  return sheet


def save(sheet: Image.Image, path) -> None:
  """Writes a JPEG whole or not at all."""
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.tmp')
  sheet.save(temporary, 'JPEG', quality=_QUALITY)
  temporary.replace(path)


def _paste(sheet, draw, encoded, x, y):
  with Image.open(io.BytesIO(encoded)) as image:
    picture = image.convert('RGB')
  scale = _SIDE / max(picture.size)
  size = tuple(max(1, round(n * scale)) for n in picture.size)
  method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
  picture = picture.resize(size, method)
  x, y = x + (_SIDE - picture.width) // 2, y + (_SIDE - picture.height) // 2
  sheet.paste(picture, (x, y))
  # Many pictures are white at the edge.
  frame = (x, y, x + picture.width - 1, y + picture.height - 1)
  draw.rectangle(frame, outline=_FRAME)


@functools.lru_cache(maxsize=1)
def _font():
  return ImageFont.load_default(_FONT_SIZE)


def _cut(text, width):
  """Takes out the middle of a text that is too long: ids differ at the end."""
  text = ' '.join(str(text).split())
  keep = len(text)
  shown = text
  while keep > 1 and _font().getlength(shown) > width:
    keep -= 1
    shown = f'{text[: keep - keep // 2]}...{text[len(text) - keep // 2 :]}'
  return shown
