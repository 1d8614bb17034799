"""The label space of Open Images, and how its labels expand over it.

A label is a MID ("/m/01lrl"); class descriptions give each a name to show.
The hierarchy JSON is a tree of nodes in which a class may stand in several
places, so that it has several parents. Two forms are read: the official one
{"LabelName": MID, "Subcategory": [...], "Part": [...]} and the visualizer's
{"name": display name, "children": [...]}.
"""

import collections
import dataclasses
import json
import sys
from collections.abc import Iterable
from typing import Optional

from official_repro.data import csv_table
from official_repro.data import hierarchy as hierarchy_lib

# (name, narrower classes, parts) of a node, in the two forms.
_FORMS = (('LabelName', 'Subcategory', 'Part'), ('name', 'children', None))
# First line of some of the official class descriptions.
_DESCRIPTION_HEADERS = (('LabelName', 'DisplayName'), ('MID', 'DisplayName'))


@dataclasses.dataclass(frozen=True)
class LabelSpace:
  """A hierarchy and the labels that lead into it.

  Attributes:
    hierarchy: the label space; its names are display names where known.
    labels: label per category, in id order: a MID, or the node's name where
      the tree has names and no description tells the MID.
    ids: {label: id}.
  """

  hierarchy: hierarchy_lib.Hierarchy
  labels: tuple
  ids: dict

  def index(self, label: str) -> int:
    """Returns the id of a label; ValueError names the nearest known one."""
    if label not in self.ids:
      hint = hierarchy_lib.nearest_hint(label, self.labels)
      raise ValueError(
        f'Label {label[:80]!r} is not among the {len(self.labels)} '
        f'categories{hint}; the class descriptions or the hierarchy must '
        'hold it.'
      )
    return self.ids[label]


def load_label_space(tree=None, descriptions=None) -> LabelSpace:
  """Reads a hierarchy JSON, class descriptions, or both.

  The categories are those of the descriptions, in their order, then those of
  the tree that are not among them, in its order. The tree's root ("Entity"),
  true of every picture, is left out.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: neither is given, or a file breaks a rule.
  """
  if not tree and not descriptions:
    raise ValueError(
      'Open Images needs a hierarchy JSON, class descriptions, or both.'
    )
  names = load_descriptions(descriptions) if descriptions else {}
  parents = {}
  if tree:
    node = load_tree(tree)
    parents = tree_parents(node, tree)
    if names and _form(node, tree)[0] == 'name':
      parents = _with_mids(parents, names, tree)
  try:
    return label_space(parents, names)
  except ValueError as e:
    raise ValueError(f'{tree or descriptions}: {e}') from e


def load_descriptions(path) -> dict[str, str]:
  """Returns {MID: display name} of a class descriptions CSV.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: a line is not MID,name, or a MID occurs twice.
  """
  names = {}
  for line, fields in csv_table.read_rows(path):
    if not fields or (line == 1 and tuple(fields) in _DESCRIPTION_HEADERS):
      continue
    where = f'{path}, line {line}'
    if len(fields) != 2 or not all(f.strip() for f in fields):
      raise ValueError(
        f'{where}: MID and display name expected, got '
        f'{",".join(fields)[:80]!r}.'
      )
    mid, name = (f.strip() for f in fields)
    if mid in names:
      raise ValueError(f'{where}: {mid!r} has a description already.')
    names[mid] = name
  if not names:
    raise ValueError(f'{path} describes no class.')
  return names


def load_tree(path) -> dict:
  """Returns the root node of a hierarchy JSON."""
  with open(path, encoding='utf-8-sig') as f:
    try:
      node = json.load(f)
    except (ValueError, RecursionError) as e:
      raise ValueError(f'{path} is no hierarchy JSON: {e}.') from e
  _form(node, path)
  return node


def tree_parents(node: dict, where='The hierarchy') -> dict[str, list]:
  """Returns {label: parent labels} in the order of the tree, root left out.

  A part ("Wheel" of "Car") is a category, but what it is a part of is not its
  parent: a wheel is no car.

  Args:
    node: the root.
    where: the file, for messages.

  Raises:
    ValueError: a node is not of the root's form.
  """
  name_key, children_key, parts_key = _form(node, where)
  parents = {}
  stack = [(node, None)]
  while stack:
    node, parent = stack.pop()
    name = node.get(name_key) if isinstance(node, dict) else None
    if not name or not isinstance(name, str):
      raise ValueError(
        f'{where}: a node without {name_key!r}: {str(node)[:80]!r}.'
      )
    is_root = parent is None
    if not is_root:
      of = parents.setdefault(name, [])
      if parent and parent not in of:
        of.append(parent)
    # '': below the root, or a part of its parent.
    above = '' if is_root else name
    below = [(child, above) for child in node.get(children_key) or ()]
    below += [(part, '') for part in node.get(parts_key) or ()]
    stack.extend(reversed(below))
  return parents


def label_space(parents: dict, names: Optional[dict] = None) -> LabelSpace:
  """Returns the label space of {label: parent labels} and {label: name}.

  A label without a name is its own name. A name that several labels share is
  followed by the label.

  Raises:
    ValueError: the hierarchy has a cycle.
  """
  names = names or {}
  labels = tuple(dict.fromkeys([*names, *parents]))
  ids = {label: i for i, label in enumerate(labels)}
  shown = [names.get(label, label) for label in labels]
  count = collections.Counter(shown)
  hierarchy = hierarchy_lib.Hierarchy(
    range(len(labels)),
    [f'{n} ({k})' if count[n] > 1 else n for n, k in zip(shown, labels)],
    [[ids[p] for p in parents.get(label, ())] for label in labels],
    [1.0] * len(labels),
  )
  return LabelSpace(hierarchy, labels, ids)


def expand_positive(
  hierarchy: hierarchy_lib.Hierarchy, ids: Iterable[int]
) -> list[int]:
  """Returns the categories that are true where `ids` are, ascending.

  What is a dog is an animal: the ancestors.
  """
  return hierarchy.fill(ids)


def expand_negative(
  hierarchy: hierarchy_lib.Hierarchy, ids: Iterable[int]
) -> list[int]:
  """Returns the categories that are false where `ids` are, ascending.

  What is no animal is no dog: the descendants.
  """
  return sorted(
    {below for i in ids for below in (i, *hierarchy.descendants(i))}
  )


def expand_label(space: LabelSpace, label: str, confidence: float) -> list[str]:
  """Returns the labels that follow from one, itself included, by id.

  The rule of the evaluation of Open Images: confidence 0 says that the label
  is absent and goes down, any other goes up.
  """
  expand = expand_positive if confidence else expand_negative
  found = expand(space.hierarchy, [space.index(label)])
  return [space.labels[i] for i in found]


def _form(node, where):
  """Returns the keys of the form that the root node has."""
  for form in _FORMS:
    if isinstance(node, dict) and form[0] in node:
      return form
  raise ValueError(
    f'{where} is no hierarchy: the root needs {_FORMS[0][0]!r} and '
    f'{_FORMS[0][1]!r}, or {_FORMS[1][0]!r} and {_FORMS[1][1]!r}.'
  )


def _with_mids(parents, names, where):
  """Returns `parents` with MIDs in place of the tree's display names.

  A name that no class has, or several, stays: which class is meant cannot be
  told ("Orange" is a fruit and a colour).
  """
  mids = collections.defaultdict(list)
  for mid, name in names.items():
    mids[name.casefold()].append(mid)

  def mid_of(name):
    found = mids[name.casefold()]
    exact = [m for m in found if names[m] == name]
    found = exact if len(exact) == 1 else found
    return found[0] if len(found) == 1 else name

  unclear = [n for n in parents if mid_of(n) == n]
  if unclear:
    print(
      f'{where}: {len(unclear)} of {len(parents)} names belong to no class of '
      f'the descriptions, or to several, such as {unclear[0]!r}; they are '
      'categories without a MID.',
      file=sys.stderr,
    )
  joined = {}
  for name, of in parents.items():
    into = joined.setdefault(mid_of(name), [])
    into += [m for m in map(mid_of, of) if m not in into]
  return joined
