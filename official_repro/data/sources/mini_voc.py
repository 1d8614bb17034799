"""The generated miniature of VOC's segmentation as a source."""

import numpy as np

from official_repro.data import examples
from official_repro.data.mini import encode_jpeg, encode_png, voc
from official_repro.data.sources import mini_scenes


class MiniVocSource(mini_scenes.MiniScenesSource):
  """Scenes with a mask of classes, in the form of VOC's records.

  Image labels are the classes in the mask. For the arguments see the base class
  and MiniVoc (seed, size, clutter).
  """

  name = 'mini_voc'
  generator = voc.MiniVoc

  @staticmethod
  def record(drawn: voc.MiniVocExample, source_id: str) -> examples.Example:
    """See base class."""
    height, width = drawn.mask.shape
    values = np.unique(drawn.mask).tolist()
    return examples.Example(
      encoded=encode_jpeg(drawn.image, mini_scenes.JPEG_QUALITY),
      height=height,
      width=width,
      source_id=source_id,
      label_ids=[v - 1 for v in values if v not in (0, voc.IGNORE)],
      segmentation_png=encode_png(drawn.mask),
    )
