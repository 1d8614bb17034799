"""Numbers and rows as text, at most 80 columns."""

from collections.abc import Sequence

_UNITS = ('', 'k', 'M', 'G', 'T', 'P', 'E')
_COLUMNS = 80
_LEFT = 22


def number(value: float, unit: str = '') -> str:
  """Returns three digits and a power of 1000, e.g. '42.5 M' or '324 MB'."""
  size = 0
  # From 999.5 on three digits would be 1000.
  while abs(value) >= 999.5 and size < len(_UNITS) - 1:
    value, size = value / 1000, size + 1
  if size == 0 and value == int(value):
    return f'{value:.0f} {unit}'.rstrip()
  digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
  return f'{value:.{digits}f} {_UNITS[size]}{unit}'.rstrip()


def gibibytes(value: float) -> str:
  """Returns bytes in the unit that GPUs' memory is told in."""
  return f'{value / 2**30:.2f} GiB'


def seconds(value: float) -> str:
  """Returns e.g. '2.31 s' or '27.7 ms'."""
  return f'{value:.3g} s' if value >= 0.1 else f'{value * 1000:.3g} ms'


def wrapped(words: str, width: int = _COLUMNS) -> list[str]:
  """Breaks a text at blanks into lines of at most `width` columns."""
  lines = ['']
  for word in words.split(' '):
    longer = f'{lines[-1]} {word}' if lines[-1] else word
    if len(longer) > width and lines[-1]:
      lines.append(word)
    else:
      lines[-1] = longer
  return lines


def row(name: str, value: str) -> list[str]:
  """Returns the lines of a name and a text beside it."""
  lines = wrapped(value, _COLUMNS - _LEFT)
  names = [f'  {name}', *[''] * (len(lines) - 1)]
  return [f'{n:<{_LEFT}s}{line}' for n, line in zip(names, lines)]


def cells(name: str, values: Sequence[str], indent: int = 2) -> str:
  """Returns one line of a table with two columns of values."""
  first, second = values
  return f'{" " * indent + name:<{_LEFT}s}{first:<30s}{second}'.rstrip()
