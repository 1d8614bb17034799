"""The leaves of a label space, or its parents, as a file for --labels."""

import collections
import os

from official_repro.data import hierarchy as hierarchy_lib
from official_repro.scaling import axes


def write(which: str, data_dir: str, path: str) -> None:
  """Writes the names of some labels, one a line.

  Args:
    which: axes.LEAVES, those that none is below, or axes.PARENTS, the others.
    data_dir: data folder with labels.tsv.
    path: file to write, a list for official_repro.subset.

  Raises:
    ValueError, FileNotFoundError: labels.tsv is missing or damaged.
  """
  hierarchy = hierarchy_lib.Hierarchy.load(os.path.join(data_dir, 'labels.tsv'))
  count = collections.Counter(hierarchy.names)
  names = [
    name if count[name] == 1 else str(i)  # a name that several have tells none
    for i, name in enumerate(hierarchy.names)
    if bool(hierarchy.children(i)) == (which == axes.PARENTS)
  ]
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path + '.tmp', 'w', encoding='utf-8') as f:
    f.writelines(f'{name}\n' for name in names)
  os.replace(path + '.tmp', path)
