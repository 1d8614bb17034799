"""Reading CSV files row by row, with errors that name the line."""

import csv
from collections.abc import Iterator


def read_rows(path) -> Iterator[tuple[int, list]]:
  """Yields (line number, fields) of each row; an empty line gives [].

  A byte order mark and Windows line ends are no part of the fields. Only one
  row is in memory at a time.

  Args:
    path: UTF-8 text, fields separated by commas, quoted by '"'.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is not UTF-8 or its quotes do not fit; names file and line.
  """
  line = 0
  try:
    with open(path, encoding='utf-8-sig', newline='') as f:
      reader = csv.reader(f, strict=True)
      for fields in reader:
        line = reader.line_num
        yield line, fields
  except UnicodeDecodeError as e:
    raise ValueError(
      f'{path} is not UTF-8 text ({e.reason}), somewhere after line {line}: '
      'save it as UTF-8.'
    ) from e
  except csv.Error as e:
    raise ValueError(f'{path}, line {line + 1}: {e}.') from e
