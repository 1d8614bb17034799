"""What is on a picture and what its labels say: sampling without rendering."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from official_repro.data.mini.taxonomy import Taxonomy

# Shares of pictures with one, two and three labelled-or-not objects: 1.52 a
# picture. The main object always has a label and the others half the time
# (missing = .5), which gives the 1.26 labels an image of JFT-300M.
OBJECT_COUNTS = (0.60, 0.28, 0.12)
_COUNT_BOUNDS = np.cumsum(OBJECT_COUNTS)[:-1]

# Share of given labels that name an inner category instead of the leaf.
INNER_SHARE = 0.15

# Share of wrong labels that name a near relative of the true leaf.
_NEAR_SHARE = 0.5
_TRIES = 20


class Content(NamedTuple):
  """What a picture shows.

  Attributes:
    leaf_ids: category ids of its objects, the main one first.
    given: label ids as an imperfect annotator gives them.
    true: sorted ids of all that is true, ancestors included.
  """

  leaf_ids: list[int]
  given: list[int]
  true: list[int]


class LabelSampler:
  """Draws contents of pictures.

  Args:
    taxonomy: Taxonomy.
    noise: chance that a given label is wrong, 0..1.
    missing: chance that an object beside the main one gets no label, 0..1.
    flatten: exponent on the leaves' Zipf shares: 1 keeps them, 0 makes all
      leaves equally frequent.
  """

  def __init__(self, taxonomy: Taxonomy, noise, missing, flatten=1.0):
    self._taxonomy = taxonomy
    self._noise = noise
    self._missing = missing
    self._leaf_ids = np.array([leaf.id for leaf in taxonomy.leaves])
    shares = taxonomy.leaf_probs**flatten
    self.leaf_probs = shares / shares.sum()
    self._cumulative = np.cumsum(self.leaf_probs)
    self._cumulative[-1] = 1.0

  def _leaf(self, rng) -> int:
    at = np.searchsorted(self._cumulative, rng.random(), side='right')
    return int(self._leaf_ids[at])

  def draw(self, rng) -> Content:
    """Draws one picture's content."""
    count = 1 + int(np.searchsorted(_COUNT_BOUNDS, rng.random()))
    leaves = []
    while len(leaves) < count:
      leaf = self._leaf(rng)
      if leaf not in leaves:
        leaves.append(leaf)
    true = self._taxonomy.hierarchy.fill(leaves)
    return Content(leaves, self.given(rng, leaves, true), true)

  def given(self, rng, leaves: Sequence[int], true: Sequence[int]) -> list[int]:
    """Draws labels as an imperfect annotator gives them.

    Args:
      rng: np.random.Generator.
      leaves: category ids of the objects, the main one first.
      true: ids of all that is true of the picture.
    """
    given, known = [], set(true)
    for k, leaf in enumerate(leaves):
      drop, wrong, inner = rng.random(3)
      if k and drop < self._missing:
        continue
      if wrong < self._noise:
        label = self._wrong(rng, leaf, inner, known.union(given))
      else:
        label = self._lifted(rng, leaf, inner)
        label = leaf if label in given else label
      given.append(label)
    return given

  def _lifted(self, rng, leaf, chance):
    """The leaf, or now and then one of its ancestors."""
    if chance >= INNER_SHARE:
      return leaf
    above = self._taxonomy.hierarchy.ancestors(leaf)
    return int(above[rng.integers(len(above))])

  def _wrong(self, rng, leaf, inner, excluded):
    """A label that is not true of the picture and not given yet."""
    near = self._taxonomy.siblings[leaf]
    if len(near) and rng.random() < _NEAR_SHARE:
      label = self._lifted(rng, near[rng.integers(len(near))], inner)
      if label not in excluded:
        return label
    for _ in range(_TRIES):
      label = self._lifted(rng, self._leaf(rng), inner)
      if label not in excluded:
        return label
    # A small label space may be nearly all true: anything that is left.
    all_ids = range(self._taxonomy.hierarchy.num_classes)
    left = [label for label in all_ids if label not in excluded]
    return int(left[rng.integers(len(left))])
