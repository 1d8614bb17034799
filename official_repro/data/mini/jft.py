"""The miniature JFT: rendered pictures with sparse noisy labels.

Stands in for JFT-300M (Sun et al. 2017, sec. 3) with the same statistics at a
small scale: a deep hierarchy, a Zipf long tail, about 1.26 given labels an
image of which about 20% are wrong, labels that are far from exhaustive, and a
densely labelled evaluation split in the manner of FastEval14k.
"""

import dataclasses
from typing import Optional

import numpy as np

from official_repro.data.hierarchy import Hierarchy
from official_repro.data.mini import copies, labels, sampler
from official_repro.data.mini import scene as scene_lib
from official_repro.data.mini.taxonomy import make_taxonomy

# The evaluation split draws leaves by the square root of their training share:
# tail classes get enough pictures to measure, head classes stay commoner.
DENSE_FLATTEN = 0.5

_SPLITS = {'train': 0, 'dense': 1}
_CONTENT, _PIXELS, _COPY_LABELS, _COPY_PIXELS = range(4)


@dataclasses.dataclass(frozen=True)
class Drawn:
  """One drawn object; box, mask and joints are computed when asked for.

  Attributes:
    leaf_id: category id.
    scene: the Scene it is in.
    index: its place in `scene.items`.
  """

  leaf_id: int
  scene: scene_lib.Scene = dataclasses.field(repr=False)
  index: int

  @property
  def mask(self) -> np.ndarray:
    """Bool [H, W]: the visible part."""
    return self.scene.visible_masks[self.index]

  @property
  def box(self) -> np.ndarray:
    """Float32 [4] (ymin, xmin, ymax, xmax), pixels, of the visible part."""
    return scene_lib.tight_box(self.mask)

  @property
  def keypoints(self) -> Optional[np.ndarray]:
    """Float32 [17, 3] (y, x, visibility 0, 1 or 2), COCO order, or None."""
    return self.scene.keypoints(self.index)


@dataclasses.dataclass(frozen=True)
class MiniExample:
  """One picture with its labels.

  Attributes:
    image: uint8 [size, size, 3] RGB; a near-copy has sides of its own.
    given_labels: sparse, partly wrong label ids.
    true_labels: sorted ids of everything visible, ancestors included.
    objects: the labelled-or-not objects, main one first; none of a near-copy,
      where they lie elsewhere than they were drawn.
    source_id: unique in its split, e.g. 'mini-0-train-17', or
      'mini-0-train-17-of-dense-4' for a near-copy.
  """

  image: np.ndarray = dataclasses.field(repr=False)
  given_labels: list[int]
  true_labels: list[int]
  objects: list[Drawn]
  source_id: str


class MiniJft:
  """The generator; image i of a seed is a pure function of (seed, split, i).

  So the first thousand images of three thousand are the thousand-image set.

  Args:
    seed: non-negative int.
    size: picture side in pixels, from 24.
    noise: share of given labels that are wrong, 0..1.
    missing: chance that an object beside the main one gets no label, 0..1;
      .5 gives the 1.26 labels an image of JFT-300M.
    num_classes: categories in all, inner ones included; None: all of them.
    clutter: how much unlabelled stuff lies around, 0 (none) to 1.

  Attributes:
    taxonomy: the Taxonomy.
    hierarchy: its Hierarchy, with the class weights of the metric.

  Raises:
    ValueError: an argument is out of range.
  """

  def __init__(
    self,
    seed: int = 0,
    size: int = 72,
    noise: float = 0.2,
    num_classes: Optional[int] = None,
    missing: float = 0.5,
    clutter: float = 0.5,
  ):
    if not isinstance(seed, (int, np.integer)) or seed < 0:
      raise ValueError(f'MiniJft needs a seed of 0 or more, got {seed!r}.')
    if not isinstance(size, (int, np.integer)) or not 24 <= size <= 1024:
      raise ValueError(
        f'MiniJft needs a picture size of 24 to 1024 pixels, got {size!r}.'
      )
    for name, value in (
      ('noise', noise),
      ('missing', missing),
      ('clutter', clutter),
    ):
      if not 0.0 <= value <= 1.0:
        raise ValueError(f'MiniJft needs {name} from 0 to 1, got {value!r}.')
    self.seed, self.size, self.clutter = int(seed), int(size), float(clutter)
    self.noise, self.missing = float(noise), float(missing)
    self.taxonomy = make_taxonomy(num_classes)
    self._leaf_of = {leaf.id: leaf for leaf in self.taxonomy.leaves}
    self._samplers = {
      'train': labels.LabelSampler(self.taxonomy, noise, missing),
      'dense': labels.LabelSampler(
        self.taxonomy, noise, missing, DENSE_FLATTEN
      ),
    }

  @property
  def hierarchy(self) -> Hierarchy:
    """The label space."""
    return self.taxonomy.hierarchy

  def example(self, i: int) -> MiniExample:
    """Training image i: its given labels are sparse and noisy."""
    return self._example('train', i)

  def dense_example(self, i: int) -> MiniExample:
    """Evaluation image i: given_labels = true_labels, all that is true."""
    example = self._example('dense', i)
    return dataclasses.replace(example, given_labels=example.true_labels)

  def near_copy(self, i: int, of: int) -> MiniExample:
    """Training image i as a near-copy of evaluation image `of`.

    Its labels are as sparse and noisy as those of any training image, and drawn
    anew for each copy.
    """
    original = self._example('dense', of)
    leaves = [o.leaf_id for o in original.objects]
    change = copies.sample_change(self._rng('train', i, _COPY_PIXELS))
    return MiniExample(
      image=change.of(original.image),
      given_labels=self._samplers['train'].given(
        self._rng('train', i, _COPY_LABELS), leaves, original.true_labels
      ),
      true_labels=original.true_labels,
      objects=[],
      source_id=f'{self._source_id("train", i)}-of-dense-{of}',
    )

  def content(self, i: int, split: str = 'train') -> labels.Content:
    """What image i shows and its labels, without drawing it.

    Args:
      i: index from 0.
      split: 'train' or 'dense'.

    Raises:
      ValueError: negative index or unknown split.
    """
    if split not in _SPLITS:
      raise ValueError(
        f'MiniJft has the splits {", ".join(_SPLITS)}, got {split!r}.'
      )
    return self._samplers[split].draw(self._rng(split, i, _CONTENT))

  def _rng(self, split, i, purpose):
    if i < 0:
      raise ValueError(f'MiniJft has images from 0 on, got index {i}.')
    entropy = (self.seed, _SPLITS[split], int(i), purpose)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))

  def _example(self, split, i):
    content = self.content(i, split)
    rng = self._rng(split, i, _PIXELS)
    leaves = [self._leaf_of[leaf_id] for leaf_id in content.leaf_ids]
    scene, places = sampler.sample_scene(rng, leaves, self.size, self.clutter)
    return MiniExample(
      image=scene.paint(),
      given_labels=content.given,
      true_labels=content.true,
      objects=[Drawn(leaf.id, scene, at) for leaf, at in zip(leaves, places)],
      source_id=self._source_id(split, i),
    )

  def _source_id(self, split, i):
    return f'mini-{self.seed}-{split}-{i}'
