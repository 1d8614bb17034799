"""A part of a label space: choosing it, and labels in its ids.

Glossary: C categories of the whole space, its ids are "stored" ids, as the
records hold them.
"""

import dataclasses
import os
from collections.abc import Iterable

import numpy as np

from official_repro.data import examples
from official_repro.data import hierarchy as hierarchy_lib

HEADER = ('stored_id', 'id')
NONE = -1


def read_labels(path, hierarchy: hierarchy_lib.Hierarchy) -> list[int]:
  """Reads a list of labels, a name or an id a line (UTF-8).

  What is both a name and an id is a name. Empty lines are passed over.

  Returns:
    The ids, ascending and unique.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: an unknown label, or no label at all; names file and line.
  """
  known, ids = set(hierarchy.names), set()
  if not os.path.isfile(path):
    raise FileNotFoundError(
      f'There is no file {path}: give --labels a list of label names or ids, '
      'one a line.'
    )
  try:
    with open(path, encoding='utf-8-sig') as f:
      lines = f.read().split('\n')
  except UnicodeDecodeError as e:
    raise ValueError(f'{path} is not UTF-8 text ({e.reason}).') from e
  for number, line in enumerate(lines, start=1):
    text = line.strip()
    if not text:
      continue
    try:
      ids.add(_label_id(text, known, hierarchy))
    except ValueError as e:
      raise ValueError(f'{path}, line {number}: {e}') from e
  if not ids:
    raise ValueError(f'{path} has no labels: write a name or an id a line.')
  return sorted(ids)


def restrict(
  hierarchy: hierarchy_lib.Hierarchy, label_ids: Iterable[int]
) -> tuple[hierarchy_lib.Hierarchy, np.ndarray]:
  """Cuts a label space down to some of its categories.

  They keep their order and weights. The parents of each are its nearest
  ancestors among them: those that a way up reaches before any other.

  Args:
    hierarchy: the whole space.
    label_ids: ids of the categories to keep.

  Returns:
    (the smaller space, int32 [C] from stored ids to its ids, -1 for none).

  Raises:
    ValueError: an id outside 0..C-1, or none at all.
  """
  kept = sorted(set(label_ids))
  if not kept:
    raise ValueError('A label space needs at least one label.')
  for i in kept:
    hierarchy.depth(i)  # checks the range
  label_map = np.full(hierarchy.num_classes, NONE, np.int32)
  label_map[kept] = np.arange(len(kept))
  parents = [
    [int(label_map[p]) for p in _nearest(hierarchy, i, label_map)] for i in kept
  ]
  smaller = hierarchy_lib.Hierarchy(
    range(len(kept)),
    [hierarchy.names[i] for i in kept],
    parents,
    [float(hierarchy.weights[i]) for i in kept],
  )
  return smaller, label_map


def relabel(
  example: examples.Example, label_map: np.ndarray
) -> examples.Example:
  """Returns an example with its labels in the ids of a smaller space.

  Labels and boxes outside it vanish; what is aligned with them goes too.

  Raises:
    ValueError: a label id outside the map, or a mask, whose class indices
      cannot vanish; names the source id.
  """
  if example.segmentation_png is not None:
    raise ValueError(
      f'Record {example.source_id!r} has a mask: a vocabulary cannot be '
      'changed under class masks.'
    )
  changes = {
    'given_label_ids': _mapped(example, example.given_label_ids, label_map)[0]
  }
  changes['label_ids'], kept = _mapped(example, example.label_ids, label_map)
  if example.confidence is not None:
    changes['confidence'] = [example.confidence[i] for i in kept]
  if example.boxes is not None:
    stored = [int(i) - 1 for i in example.box_labels]
    ids, kept = _mapped(example, stored, label_map)
    changes['box_labels'] = np.array(ids, np.int64) + 1
    for field in ('boxes', 'is_crowd', 'area', 'keypoints'):
      value = getattr(example, field)
      if value is not None:
        changes[field] = np.asarray(value)[kept]
  return dataclasses.replace(example, **changes)


def save_map(path, label_map: np.ndarray) -> None:
  """Writes a label map as a table of two columns, under a temporary name."""
  temporary = f'{path}.tmp'
  with open(temporary, 'w', encoding='utf-8', newline='\n') as f:
    f.write('\t'.join(HEADER) + '\n')
    f.writelines(f'{i}\t{new}\n' for i, new in enumerate(label_map.tolist()))
  os.replace(temporary, path)


def load_map(path) -> np.ndarray:
  """Reads what `save_map` wrote: int32 [C]."""
  table = np.loadtxt(path, np.int32, delimiter='\t', skiprows=1, ndmin=2)
  return table[:, 1]


def _label_id(text, known, hierarchy):
  if text not in known and text.isdecimal():
    hierarchy.depth(int(text))  # checks the range
    return int(text)
  return hierarchy.index(text)


def _nearest(hierarchy, label_id, label_map):
  """Returns the nearest kept ancestors of a category, ascending."""
  found, seen = set(), set()
  waiting = list(hierarchy.parents[label_id])
  while waiting:
    i = waiting.pop()
    if i in seen:
      continue
    seen.add(i)
    if label_map[i] == NONE:
      waiting.extend(hierarchy.parents[i])
    else:
      found.add(i)
  return sorted(found)


def _mapped(example, ids, label_map):
  """Returns (new ids of those that have one, their places in `ids`)."""
  for i in ids:
    if not 0 <= i < len(label_map):
      raise ValueError(
        f'Record {example.source_id!r} has the label id {i}, outside '
        f'0..{len(label_map) - 1}.'
      )
  kept = [n for n, i in enumerate(ids) if label_map[i] != NONE]
  return [int(label_map[ids[n]]) for n in kept], kept
