"""What a plan assumes about the data of a preset; marks as in experiments."""

import dataclasses
from typing import Optional

from official_repro.data.mini import taxonomy

# Mean of five photos (two of scikit-learn, one of Matplotlib, two of COCO) that
# this project's coder reduced to 340x340 at quality 90, 4:2:0: 1.6 to 3.1 bits
# a pixel, 23.6 to 44.5 kB. JFT-300M's own is not published.
BITS_PER_PIXEL = 2.4
WHY_BYTES = f'{BITS_PER_PIXEL} bits a pixel, as five photos at quality 90'


@dataclasses.dataclass(frozen=True)
class DataFacts:
  """The training split on paper.

  Attributes:
    images: number of them.
    classes: labels there are.
    given_labels: mean number an image, before fill-in.
    filled_labels: after it.
    bytes_per_image: of the encoded picture; None: BITS_PER_PIXEL at the
      preset's `resize`.
  """

  images: int
  classes: int
  given_labels: float
  filled_labels: float
  bytes_per_image: Optional[float] = None


# By the first word of a preset's name.
_FACTS = {
  # Sun et al. 2017, sec. 3: 300M images, 375M labels, 18,291 categories; 1.26
  # labels an image †. Five ancestors a label are assumed: the hierarchy is at
  # most 12 deep †.
  'jft300m': DataFacts(300_000_000, 18_291, 1.26, 1.26 * 6),
  'imagenet': DataFacts(1_281_167, 1000, 1, 1),
  # build_records --source=mini_jft --num_images=10000, the command of its help.
  'mini': DataFacts(10_000, 0, 1.26, 1.26 * 6),
}


def of_experiment(name: str) -> DataFacts:
  """Returns the data of the preset called `name`.

  Raises:
    ValueError: nothing is known about it.
  """
  key = name.split('_')[0]
  if key not in _FACTS:
    raise ValueError(
      f'The data of experiment {name!r} is not known here: give --images and '
      '--classes.'
    )
  facts = _FACTS[key]
  if key == 'mini':
    classes = taxonomy.make_taxonomy().hierarchy.num_classes
    facts = dataclasses.replace(facts, classes=classes)
  return facts
