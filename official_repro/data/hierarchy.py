"""The label space: categories, their parents, and the fill-in rule.

Every label also makes its ancestors true ("apple" is also right for "fruit";
Sun et al. 2017, sec. 3). A category may have several parents, so the space is
a directed acyclic graph. Glossary: C categories, N images, id = 0..C-1.
"""

import difflib
import hashlib
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Optional

import numpy as np

from official_repro.data import labels_file

# A longer name is a damaged line; comparing it would take long.
_MAX_COMPARED = 200


class Hierarchy:
  """An immutable label space with precomputed ancestors.

  Attributes:
    num_classes: C.
    names: list of C names in id order; a name may occur twice ("jaguar").
    parents: list of C tuples of parent ids, ascending; () for a root.
    weights: float32 [C], class weights of the metric; read-only.
    max_depth: the largest `depth` of a category.
  """

  def __init__(
    self,
    ids: Sequence[int],
    names: Sequence[str],
    parents: Sequence[Iterable[int]],
    weights: Sequence[float],
  ):
    """Builds a label space from columns in any row order.

    Args:
      ids: C ids that together are 0..C-1.
      names: name of each row.
      parents: parent ids of each row.
      weights: finite weight >= 0 of each row.

    Raises:
      ValueError: a duplicate or missing id, an unknown parent, a cycle, a bad
        name or weight, or columns of different lengths.
    """
    if not len(ids) == len(names) == len(parents) == len(weights):
      raise ValueError(
        'A label space needs columns of one length, got '
        f'{len(ids)} ids, {len(names)} names, {len(parents)} parent lists and '
        f'{len(weights)} weights.'
      )
    order = _dense_order(ids, names)
    self.names: list[str] = [_checked_name(ids[r], names[r]) for r in order]
    self.num_classes = len(self.names)
    self.parents: list[tuple[int, ...]] = [
      _checked_parents(ids[r], names[r], parents[r], self.num_classes)
      for r in order
    ]
    self.weights = np.array([weights[r] for r in order], np.float32)
    self.weights.flags.writeable = False
    _check_weights(self.names, self.weights)
    self._children = _invert(self.parents)
    topological = _topological_order(self.names, self.parents, self._children)
    closures, self._depth = _closures(self.parents, topological)
    self.max_depth = max(self._depth, default=0)
    self._closures = closures
    # CSR table: row i = category i and all its ancestors, ascending.
    self._sizes = np.array([len(c) for c in closures], np.int64)
    self._starts = np.concatenate([[0], np.cumsum(self._sizes)])
    self._values = np.array([a for c in closures for a in c], np.int32)
    self._id_of_name = {}
    for i, name in enumerate(self.names):
      self._id_of_name.setdefault(name, []).append(i)

  @classmethod
  def flat(cls, names: Sequence[str]) -> 'Hierarchy':
    """Returns a label space without parents, all weights 1."""
    n = len(names)
    return cls(range(n), names, [()] * n, [1.0] * n)

  @classmethod
  def load(cls, path) -> 'Hierarchy':
    """Reads labels.tsv (header: id, name, parent_ids, weight; UTF-8).

    Args:
      path: file; parent_ids are comma-separated, empty for a root.

    Raises:
      ValueError: the file breaks a rule; names the file and line or category.
      FileNotFoundError: there is no such file.
    """
    rows = labels_file.read_rows(path)
    try:
      return cls(*zip(*rows)) if rows else cls((), (), (), ())
    except ValueError as e:
      raise ValueError(f'{path}: {e}') from e

  def save(self, path) -> None:
    """Writes labels.tsv under a temporary name, then renames it."""
    labels_file.write_rows(
      path, zip(range(self.num_classes), self.names, self.parents, self.weights)
    )

  def index(self, name: str) -> int:
    """Returns the id of a name.

    Raises:
      ValueError: the name is unknown (the nearest known one is named) or
        belongs to several categories.
    """
    found = self._id_of_name.get(name, ())
    if len(found) == 1:
      return found[0]
    if not found:
      raise ValueError(
        f'Label name {name[:_MAX_COMPARED]!r} is not among the '
        f'{self.num_classes} categories{nearest_hint(name, self.names)}.'
      )
    raise ValueError(
      f'Label name {name!r} belongs to several categories '
      f'({", ".join(map(str, found))}): use the id.'
    )

  def ancestors(self, label_id: int) -> tuple[int, ...]:
    """Returns all ancestors, ascending, without `label_id` itself."""
    i = self._checked_id(label_id)
    return tuple(a for a in self._closures[i] if a != i)

  def descendants(self, label_id: int) -> tuple[int, ...]:
    """Returns all descendants, ascending, without `label_id` itself."""
    start = self._checked_id(label_id)
    found, stack = set(), [start]
    while stack:
      new = [c for c in self._children[stack.pop()] if c not in found]
      found.update(new)
      stack.extend(new)
    return tuple(sorted(found))

  def children(self, label_id: int) -> tuple[int, ...]:
    """Returns the direct children, ascending."""
    return self._children[self._checked_id(label_id)]

  def depth(self, label_id: int) -> int:
    """Returns the length of the longest path from a root; a root has 0."""
    return self._depth[self._checked_id(label_id)]

  def fill(self, ids: Iterable[int]) -> list[int]:
    """Returns `ids` with all their ancestors, ascending and unique."""
    closures = (self._closures[self._checked_id(i)] for i in ids)
    return sorted(set().union(*closures))

  def fill_ragged(self, values, row_splits) -> tuple[np.ndarray, np.ndarray]:
    """Fills in many label lists at once.

    Args:
      values: int [V], the label lists one after the other.
      row_splits: int [N + 1]; list n is values[row_splits[n]:row_splits[n+1]].

    Returns:
      (int32 [V'], int64 [N + 1]): the filled lists in the same form, each
      ascending and unique.

    Raises:
      ValueError: an id outside 0..C-1, or row_splits that do not fit.
    """
    values = np.asarray(values)
    splits = np.asarray(row_splits, np.int64)
    _check_splits(values, splits)
    self._check_ids(values)
    values = values.astype(np.int64)
    rows = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
    return self._fill_sorted_rows(values, rows, len(splits) - 1)

  def fill_batch(self, label_ids) -> np.ndarray:
    """Fills in padded label lists.

    Args:
      label_ids: int [N, L], padded with -1 (anywhere in a row).

    Returns:
      int32 [N, L'], each row ascending, unique and padded with -1 at its end;
      L' is the length of the longest filled row.

    Raises:
      ValueError: not two-dimensional, or an id outside -1..C-1.
    """
    label_ids = np.asarray(label_ids)
    if label_ids.ndim != 2:
      raise ValueError(
        f'label_ids must be [N, L], got shape {label_ids.shape}.'
      )
    rows, columns = np.nonzero(label_ids != -1)
    values = label_ids[rows, columns]
    self._check_ids(values)
    n = len(label_ids)
    filled, splits = self._fill_sorted_rows(values.astype(np.int64), rows, n)
    lengths = np.diff(splits)
    padded = np.full((n, lengths.max(initial=0)), -1, np.int32)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = filled
    return padded

  def hash(self) -> str:
    """Returns the hex SHA-256 of names and parents (weights left out)."""
    digest = hashlib.sha256()
    for name, parents in zip(self.names, self.parents):
      line = f'{name}\t{",".join(map(str, parents))}\n'
      digest.update(line.encode('utf-8'))
    return digest.hexdigest()

  def _fill_sorted_rows(self, values, rows, num_rows):
    """Fills in labels `values[j]` of row `rows[j]` (rows ascending)."""
    sizes = self._sizes[values]
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    # Position of each output in the CSR table: start of its label's row plus
    # the offset within it.
    where = np.arange(total) + np.repeat(
      self._starts[values] - ends + sizes, sizes
    )
    keys = np.repeat(rows * np.int64(self.num_classes), sizes)
    keys += self._values[where]
    # A row with one label is sorted already: only merging sort makes use of it.
    keys.sort(kind='stable')
    keep = np.ones(total, bool)
    np.not_equal(keys[1:], keys[:-1], out=keep[1:])
    keys = keys[keep]
    out_rows, out_values = np.divmod(keys, max(self.num_classes, 1))
    counts = np.bincount(out_rows, minlength=num_rows)
    splits = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return out_values.astype(np.int32), splits

  def _checked_id(self, label_id):
    if not 0 <= label_id < self.num_classes:
      raise ValueError(
        f'Label id {label_id} is outside the range 0..{self.num_classes - 1}.'
      )
    return operator.index(label_id)

  def _check_ids(self, values):
    if values.size and not np.issubdtype(values.dtype, np.integer):
      raise ValueError(f'Label ids must be integers, got {values.dtype}.')
    bad = (values < 0) | (values >= self.num_classes)
    if bad.any():
      self._checked_id(values[np.argmax(bad)])


def nearest_name(name: str, known: Iterable[str]) -> Optional[str]:
  """Returns the known name most like `name`, None if none is much like it.

  A name that differs in upper and lower case only comes first.
  """
  if len(name) > _MAX_COMPARED:
    return None
  known = list(known)
  folded = name.casefold()
  for other in known:
    if other.casefold() == folded:
      return other
  return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def nearest_hint(name: str, known: Iterable[str]) -> str:
  """Returns "; the nearest is '...'" for a message, or ''."""
  nearest = nearest_name(name, known)
  return '' if nearest is None else f'; the nearest is {nearest!r}'


def _dense_order(ids, names):
  """Returns the rows in id order; checks that the ids are 0..C-1."""
  row_of = {}
  for row, i in enumerate(ids):
    if i in row_of:
      raise ValueError(
        f'Duplicate id {i}: {names[row_of[i]]!r} and {names[row]!r}.'
      )
    row_of[i] = row
  for i in range(len(ids)):
    if i not in row_of:
      raise ValueError(
        f'Id {i} is missing: {len(ids)} categories need the ids '
        f'0..{len(ids) - 1} without a gap.'
      )
  return [row_of[i] for i in range(len(ids))]


def _checked_name(label_id, name):
  if not name or any(c in name for c in '\t\n\r'):
    raise ValueError(
      f'Category {label_id} has the name {name!r}; a name must not be empty '
      'nor hold a tab or a line break.'
    )
  return str(name)


def _checked_parents(label_id, name, parents, num_classes):
  parents = tuple(sorted(int(p) for p in parents))
  for p in parents:
    if not 0 <= p < num_classes:
      raise ValueError(
        f'Category {label_id} ({name!r}) has the unknown parent {p}; '
        f'ids are 0..{num_classes - 1}.'
      )
  if len(set(parents)) != len(parents):
    raise ValueError(f'Category {label_id} ({name!r}) lists a parent twice.')
  return parents


def _check_weights(names, weights):
  for i, weight in enumerate(weights.tolist()):
    if not (math.isfinite(weight) and weight >= 0):
      raise ValueError(
        f'Category {i} ({names[i]!r}) has the weight {weight}; '
        'a weight must be finite and at least 0.'
      )


def _invert(parents):
  children = [[] for _ in parents]
  for i, of in enumerate(parents):
    for p in of:
      children[p].append(i)
  return [tuple(c) for c in children]


def _topological_order(names, parents, children):
  """Returns the ids, parents first; ValueError names a cycle."""
  waiting = [len(p) for p in parents]
  order = [i for i, n in enumerate(waiting) if not n]
  for i in order:  # grows while it is read
    for c in children[i]:
      waiting[c] -= 1
      if not waiting[c]:
        order.append(c)
  if len(order) < len(parents):
    raise ValueError(f'The hierarchy has a cycle: {_cycle(names, parents)}.')
  return order


def _cycle(names, parents):
  """Returns a cycle as "'a' (0) -> 'b' (1) -> 'a' (0)", child to parent."""
  # What lies on or below a cycle is never reached from the roots, and each
  # such category has a parent of the same kind to go up to.
  reached = set()
  while True:
    new = [
      i
      for i, of in enumerate(parents)
      if i not in reached and all(p in reached for p in of)
    ]
    if not new:
      break
    reached.update(new)
  path = [next(i for i in range(len(parents)) if i not in reached)]
  while path[-1] not in path[:-1]:
    path.append(next(p for p in parents[path[-1]] if p not in reached))
  cycle = path[path.index(path[-1]) :]
  return ' -> '.join(f'{names[i]!r} ({i})' for i in cycle)


def _closures(parents, topological):
  """Returns (each id with its ancestors, ascending; depth of each id)."""
  sets, depth = [None] * len(parents), [0] * len(parents)
  for i in topological:
    sets[i] = {i}.union(*(sets[p] for p in parents[i]))
    depth[i] = max((depth[p] + 1 for p in parents[i]), default=0)
  return [tuple(sorted(s)) for s in sets], depth


def _check_splits(values, splits):
  if (
    values.ndim != 1
    or splits.ndim != 1
    or not len(splits)
    or splits[0] != 0
    or splits[-1] != len(values)
    or (np.diff(splits) < 0).any()
  ):
    raise ValueError(
      'row_splits must go from 0 up to the number of values '
      f'({values.size}) and never down.'
    )
