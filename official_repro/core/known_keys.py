"""Names that a user wrote, against those that there are; no TensorFlow."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


def check_name(name: Any, known: Iterable[str], prefix: str, what: str) -> None:
  """Checks one name.

  Args:
    name: as written.
    known: all that there are.
    prefix: the keys above it with their dots, for messages.
    what: it is, for messages: key, axis.

  Raises:
    ValueError: there is none; with the nearest one.
  """
  if name in known:
    return
  near = difflib.get_close_matches(str(name), known, 1)
  hint = (
    f'did you mean {prefix}{near[0]}?'
    if near
    else f'known: {", ".join(known)}.'
  )
  raise ValueError(f'Unknown {what} {prefix}{name}; {hint}')


def check_keys(
  prefix: str, content: Any, known: Iterable[str], what: str = 'key'
) -> None:
  """Checks that a part of a file is a mapping with known keys only.

  Args:
    prefix: see check_name; empty for the whole file.
    content: the part.
    known: see check_name.
    what: see check_name.

  Raises:
    ValueError: it is something else, or has an unknown key.
  """
  if not isinstance(content, Mapping):
    where = f'Key {prefix[:-1]}' if prefix else 'It'
    raise ValueError(f'{where} must hold keys and values, got {content!r}.')
  for key in content:
    check_name(key, known, prefix, what)
