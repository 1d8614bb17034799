"""Writes subsets: data folders over the records of another, nothing copied."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data import manifest, vocabulary


def write_subset(
  data_dir,
  output_dir,
  keep: Mapping[str, Sequence[np.ndarray]],
  *,
  name: str,
  info: Mapping[str, Any],
  hierarchy: Optional[hierarchy_lib.Hierarchy] = None,
  label_map: Optional[np.ndarray] = None,
  overwrite: bool = False,
) -> None:
  """Writes a data folder over some of the records of another.

  dataset.json comes last and names the other folder's shards by relative
  path: the two folders have to stay where they are to each other.

  Args:
    data_dir: a data folder; of a subset, the result points at its shards.
    output_dir: made when absent; other files in it stay.
    keep: {split: bool [records] for each of its shards}. A split that is not
      named stays whole.
    name: of the new data set.
    info: how it was chosen; added to the list `subsets` of the folder's info.
    hierarchy: the label space; None: that of data_dir.
    label_map: int32 [C], from label ids of data_dir to those of `hierarchy`,
      -1 for none; None where they are the same.
    overwrite: replace the subset in output_dir.

  Raises:
    FileNotFoundError, ValueError: as `Dataset.load`; output_dir holds a data
      set; `keep` does not fit.
  """
  dataset = manifest.Dataset.load(data_dir)
  output_dir = pathlib.Path(output_dir)
  _check_keep(dataset, keep)
  check_output(dataset.data_dir, output_dir, overwrite)
  if label_map is None:
    label_map = dataset.label_map
  else:
    label_map = compose(dataset.label_map, label_map)
  output_dir.mkdir(parents=True, exist_ok=True)
  _remove_old(output_dir)
  written: list = []
  try:
    splits = {
      split: _selected_shards(whole, keep.get(split), output_dir, written)
      for split, whole in dataset.splits.items()
    }
    manifest.write_manifest(
      output_dir,
      name=name,
      hierarchy=hierarchy or dataset.hierarchy,
      splits=splits,
      info={
        **dataset.info,
        'subsets': [*dataset.info.get('subsets', []), dict(info)],
      },
      label_map=label_map,
    )
  except BaseException:
    names = (manifest.LABELS, manifest.LABEL_MAP)
    names += tuple(f'{name}.tmp' for name in names)
    for path in (*written, *(output_dir / name for name in names)):
      path.unlink(missing_ok=True)
    raise


def _selected_shards(split, masks, folder, written):
  """Writes the selections of a split; returns its Shards with records."""
  shards = []
  for i, shard in enumerate(split.shards):
    mask = None if masks is None else np.asarray(masks[i], bool)
    if shard.selection is None and (mask is None or mask.all()):
      shards.append(shard)
      continue
    rows = shard.rows() if mask is None else shard.rows()[mask]
    if not len(rows):
      continue
    path = folder / f'{split.name}-{i:05d}-of-{len(split.shards):05d}.selection'
    content = rows.astype('<i8').tobytes()
    temporary = path.with_suffix('.selection.tmp')
    written.extend((temporary, path))
    temporary.write_bytes(content)
    os.replace(temporary, path)
    digest = hashlib.sha256(content).hexdigest()
    shards.append(
      dataclasses.replace(
        shard, records=len(rows), selection=path, selection_sha256=digest
      )
    )
  return shards


def compose(first: Optional[np.ndarray], second: np.ndarray) -> np.ndarray:
  """Returns the label map that goes by `first` (or None) and then `second`."""
  second = np.asarray(second, np.int32)
  if first is None:
    return second
  return np.where(first == vocabulary.NONE, vocabulary.NONE, second[first])


def _check_keep(dataset, keep):
  for name, masks in keep.items():
    if name not in dataset.splits:
      dataset.split(name)  # raises
    sizes = [s.records for s in dataset.splits[name].shards]
    got = [len(mask) for mask in masks]
    if got != sizes:
      raise ValueError(
        f'The masks of split {name!r} have the lengths {got}, its shards the '
        f'numbers of records {sizes}.'
      )


def check_output(data_dir, output_dir, overwrite: bool) -> None:
  """Raises ValueError unless a subset of data_dir may go to output_dir."""
  output_dir = pathlib.Path(output_dir)
  if os.path.realpath(data_dir) == os.path.realpath(output_dir):
    raise ValueError(
      f'{output_dir} is the data set itself: choose another --output.'
    )
  if not (output_dir / manifest.MANIFEST).exists():
    return
  if not overwrite:
    raise ValueError(
      f'{output_dir} holds a data set already: choose another --output, or '
      'replace it with --overwrite.'
    )
  for split in _splits_of(output_dir):
    if any(shard.path.parent == output_dir for shard in split.shards):
      raise ValueError(
        f'{output_dir} holds records of its own, which --overwrite would '
        'lose: choose another --output.'
      )


def _splits_of(data_dir):
  parsed = manifest.read_manifest(data_dir).parsed
  return [
    manifest.parse_split(data_dir, name, entry)
    for name, entry in parsed['splits'].items()
  ]


def _remove_old(output_dir):
  """Removes the subset that is there, dataset.json first."""
  if not (output_dir / manifest.MANIFEST).exists():
    return
  old = [s.selection for split in _splits_of(output_dir) for s in split.shards]
  (output_dir / manifest.MANIFEST).unlink()
  for path in (*filter(None, old), output_dir / manifest.LABEL_MAP):
    path.unlink(missing_ok=True)
