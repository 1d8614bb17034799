"""COCO's results files: what detection writes and pose reads and writes.

A results file is a JSON list of {image_id, category_id, score, ...}. Its boxes
are x, y, width, height in pixels of the original picture; ours are ymin, xmin,
ymax, xmax.
"""

import json
import os
import pathlib
from typing import Any

import numpy as np


def load_json(path) -> Any:
  """Reads a JSON file.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is none.
  """
  try:
    with open(path, encoding='utf-8') as f:
      return json.load(f)
  except (UnicodeDecodeError, json.JSONDecodeError) as e:
    raise ValueError(f'{path} is no JSON file: {e}.') from e


def load_list(path) -> list:
  """Reads a results file; its entries are not looked at.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no JSON file, or holds no list.
  """
  data = load_json(path)
  if not isinstance(data, list):
    raise ValueError(
      f'{path} is no COCO results file: a JSON list is expected, got a '
      f'{type(data).__name__}.'
    )
  return data


def save_results(path, results) -> None:
  """Writes a results file, whole or not at all.

  Args:
    path: of the file.
    results: list of dicts as COCO has them.

  Raises:
    ValueError: a number is NaN or infinite.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.tmp')
  try:
    with open(temporary, 'w', encoding='utf-8') as f:
      json.dump(results, f, separators=(',', ':'), allow_nan=False)
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def image_id(source_id: str) -> Any:
  """COCO's id of an image: the number that its source id is, else the text."""
  is_number = source_id.isascii() and source_id.isdigit()
  return int(source_id) if is_number else source_id


def to_xywh(boxes) -> np.ndarray:
  """Boxes [N, 4] ymin, xmin, ymax, xmax as float64 x, y, width, height."""
  boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
  ymin, xmin, ymax, xmax = boxes.T
  return np.stack([xmin, ymin, xmax - xmin, ymax - ymin], 1)


def from_xywh(boxes) -> np.ndarray:
  """Boxes [N, 4] x, y, width, height as float64 ymin, xmin, ymax, xmax."""
  x, y, width, height = np.asarray(boxes, np.float64).reshape(-1, 4).T
  return np.stack([y, x, y + height, x + width], 1)
