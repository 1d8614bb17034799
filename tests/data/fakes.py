"""A source made of lists, and helpers to look at what was built."""

from official_repro.data import engine, records, sources
from official_repro.data.hierarchy import Hierarchy

FRUIT = Hierarchy(
  range(4),
  ['food', 'fruit', 'apple', 'rock'],
  [(), (0,), (1,), ()],
  [1.0] * 4,
)


class FakeSource:
  """Items from keyword lists: {split: [(label ids, confidence) or reason]}.

  A string is the reason of a bad record; an exception is raised by the reader.
  """

  name = 'fake'
  hierarchy = FRUIT
  options = {'kind': 'test'}  # noqa: RUF012
  has_objects = False
  trusted = True

  def __init__(self, **splits):
    self._splits = splits
    self.sizes = {name: len(items) for name, items in splits.items()}
    self.reader = _read

  def items(self):
    for split, of_split in self._splits.items():
      for i, what in enumerate(of_split):
        yield sources.Item(split, f'{split}-{i}', what)


def _read(item):
  what = item.payload
  if isinstance(what, BaseException):
    raise what
  if isinstance(what, str):
    return sources.BadRecord(item.source_id, what)
  label_ids, confidence = what if isinstance(what, tuple) else (what, None)
  return records.Example(
    b'image', 2, 3, item.source_id, list(label_ids), confidence=confidence
  )


def start_one_worker(monkeypatch):
  """Has engine.run start one process where it would start several.

  Importing Beam takes each of them seconds.
  """
  options_for = engine.pipeline._options
  monkeypatch.setattr(
    engine.pipeline, '_options', lambda args, _: options_for(args, 1)
  )


def good(*label_ids, confidence=None):
  return (list(label_ids), confidence)


def read(data_dir, split='train'):
  return [
    records.decode_example(r) for r in records.iterate_records(data_dir, split)
  ]


def names(folder):
  return sorted(p.name for p in folder.iterdir())
