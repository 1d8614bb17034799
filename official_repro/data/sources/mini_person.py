"""The generated miniature of COCO's person keypoints as a source."""

from official_repro.data.mini import person
from official_repro.data.sources import mini_coco


class MiniPersonSource(mini_coco.MiniCocoSource):
  """Scenes about people: keypoints, and the boxes of all objects.

  Records are as mini_coco's. For the arguments see the base class and
  MiniPerson (seed, size, clutter, crowds).
  """

  name = 'mini_person'
  generator = person.MiniPerson
