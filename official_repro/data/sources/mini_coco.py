"""The generated miniature of COCO as a source."""

import numpy as np

from official_repro.data import examples
from official_repro.data.mini import coco, encode_jpeg
from official_repro.data.sources import mini_scenes


class MiniCocoSource(mini_scenes.MiniScenesSource):
  """Scenes with boxes, box labels, crowds, areas and people's keypoints.

  A record's boxes are those of MiniCocoExample, as shares of the picture;
  its image labels are the classes of its boxes. For the arguments see the base
  class and MiniCoco (seed, size, clutter, crowds).
  """

  name = 'mini_coco'
  generator = coco.MiniCoco

  @staticmethod
  def record(drawn: coco.MiniCocoExample, source_id: str) -> examples.Example:
    """See base class."""
    height, width, _ = drawn.image.shape
    keypoints = drawn.keypoints.copy()
    keypoints[..., :2] /= (height, width)
    return examples.Example(
      encoded=encode_jpeg(drawn.image, mini_scenes.JPEG_QUALITY),
      height=height,
      width=width,
      source_id=source_id,
      label_ids=sorted(set((drawn.labels - 1).tolist())),
      boxes=(drawn.boxes / (height, width, height, width)).astype(np.float32),
      box_labels=drawn.labels,
      is_crowd=drawn.is_crowd,
      area=drawn.area,
      keypoints=keypoints,
    )
