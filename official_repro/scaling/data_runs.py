"""Stage one: the data that pre-training reads, and that of the tasks."""

import os
from collections.abc import Mapping
from typing import Any, Callable

from official_repro.scaling import axes as axes_lib
from official_repro.scaling import run as run_lib
from official_repro.scaling import spec_types

_DEFAULT_IMAGES = 10_000  # of build_records' --num_images
_NOWHERE: Mapping[str, Any] = {}
_BUILD, _DEDUP, _SUBSET = (
  'official_repro.build_records',
  'official_repro.dedup',
  'official_repro.subset',
)


class DataRuns:
  """Plans the runs that make data folders.

  Args:
    spec: the study.
    output: its folder.
    add: takes each run that is needed; a run of a known id is passed over.
  """

  def __init__(
    self,
    spec: spec_types.Spec,
    output: str,
    add: Callable[[run_lib.Run], Any],
  ):
    self._spec, self._output, self._add = spec, output, add

  def whole(
    self, name: str, point: Mapping[str, Any] = _NOWHERE
  ) -> run_lib.Source:
    """Returns a data folder of the spec, generated where it says so.

    Args:
      name: in the spec.
      point: {axis: value}; of these, noise counts.
    """
    if name in self._spec.data:
      path = self._spec.data[name]
      expected = run_lib.records_of(path, 'train')
      return run_lib.Source(path, None, expected, path)
    flags = dict(self._spec.generate[name])
    if point.get('noise') is not None:
      flags['noise'] = point['noise']
      name = f'{name},{axes_lib.label(point, ["noise"])}'
    expected = flags.get('num_images', _DEFAULT_IMAGES)
    return self._make(name, _BUILD, flags, (), expected)

  def for_pretraining(self, point: Mapping[str, Any]) -> run_lib.Source:
    """Returns the data folder of a point of pre-training.

    Copies are taken out before a part is chosen, so that `images` are that many
    different ones. Where the study has an axis seed, each seed draws its own
    part, or intervals over seeds would leave out the luck of the draw; the
    parts of one seed are nested.
    """
    source = self.whole(self._spec.pretrain.data, point)
    if point.get('duplicates') == axes_lib.REMOVED:
      source = self._without_copies(source)
    return self._part(source, point)

  def _without_copies(self, source):
    steps = self._spec.dedup
    for i, given in enumerate(steps, start=1):
      flags, depends = dict(given), [source]
      if 'against_dir' in flags:
        against = self.whole(flags['against_dir'])
        flags['against_dir'] = against.path
        depends.append(against)
      last = '' if len(steps) == 1 else f'-{i}'
      name = f'{os.path.basename(source.path)},duplicates=removed{last}'
      if i > 1:
        name = f'{os.path.basename(source.path).rpartition("-")[0]}{last}'
      source = self._make(
        name,
        _DEDUP,
        {'data_dir': source.path, 'split': 'train', **flags},
        depends,
        source.expected,
      )
    return source

  def _part(self, source, point):
    flags, names = {}, []
    images, fraction = point.get('images'), point.get('fraction')
    expected = source.expected
    if images is not None and expected is not None and images > expected:
      raise ValueError(
        f'Key axes.images has {images:,}, and the data folder '
        f'{os.path.basename(source.path)!r} has {expected:,} training images; '
        'take fewer, or give it more (num_images where it is generated).'
      )
    # All of the data is no part, and no draw.
    if images is not None and not self._is_all(source, images):
      flags['num_images'], expected = images, images
      names.append('images')
    elif fraction is not None and fraction < 1:
      flags['fraction'] = fraction
      expected = expected and max(round(fraction * expected), 1)
      names.append('fraction')
    if names and 'seed' in self._spec.axes:
      flags['seed'] = point['seed']
      names.append('seed')
    labels, having = self._lists(source, point)
    if labels:
      flags['labels'] = labels
    if having:
      flags['having'] = ','.join(having)
    if not flags:
      return source
    if labels or having:
      names.append('vocabulary')
    name = f'{os.path.basename(source.path)},{axes_lib.label(point, names)}'
    return self._make(
      name,
      _SUBSET,
      {'data_dir': source.path, **flags},
      [source],
      expected,
    )

  def _lists(self, source, point):
    """Returns (file of the labels, None for all; files of the other lists).

    All vocabularies of a study have the same images, as in the paper: those
    with a label in each list.
    """
    own = point.get('vocabulary') or axes_lib.ALL
    others = [
      self._list(source, value)
      for value in self._spec.values('vocabulary')
      if value not in (None, own, axes_lib.ALL)
    ]
    return None if own == axes_lib.ALL else self._list(source, own), others

  def _list(self, source, value):
    if value in axes_lib.LISTS:
      file = f'{os.path.basename(source.path)}-{value}.txt'
      return os.path.join(self._output, 'labels', file)
    return os.path.join(self._spec.data_root, value)

  def _lists_of(self, flags, depends):
    """Returns the lists of labels that a run wants written, see Run.lists."""
    named = [flags.get('labels'), *flags.get('having', '').split(',')]
    files = [
      (which, source.path, self._list(source, which))
      for source in depends[:1]
      for which in axes_lib.LISTS
    ]
    return tuple(entry for entry in files if entry[2] in named)

  def _is_all(self, source, images):
    # Exact where nothing was taken out; None where the folder is not there.
    return source.path == source.whole and source.expected == images

  def _make(self, name, module, flags, depends, expected):
    """Adds the run that makes a folder; returns its Source."""
    run_id = f'data/{name}'
    path = os.path.join(self._output, 'data', name)
    self._add(
      run_lib.Run(
        run_id,
        run_lib.DATA,
        'data',
        module,
        {**flags, 'output': path},
        os.path.join(self._output, 'runs', run_id),
        dict.fromkeys(axes_lib.AXES),
        depends=tuple(s.run_id for s in depends if s.run_id),
        inputs=tuple(s.path for s in depends if not s.run_id),
        lists=self._lists_of(flags, depends),
      )
    )
    whole = depends[0].whole if depends else path
    return run_lib.Source(path, run_id, expected, whole)
