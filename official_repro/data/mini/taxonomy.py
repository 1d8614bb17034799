"""The categories of the miniature data set and how often each is seen.

A leaf is a kind of object in one look ("red truck", "striped cat"); its
parents are the kind ("truck"), the colour ("red thing") and, where it has one,
the pattern ("striped thing"). Kinds hang below groups, groups below domains.
"""

import functools
from typing import NamedTuple

import numpy as np

from official_repro.data.hierarchy import Hierarchy
from official_repro.data.mini import palette

MIN_CLASSES = 20

# Inner categories above the kinds: name -> parents. The twenty groups that
# segmentation uses as its classes are `SEGMENT_CLASSES`.
_INNER = {
  'animal': (),
  'vehicle': (),
  'plant': (),
  'food': (),
  'tool': (),
  'building': (),
  'person': (),
  'household item': (),
  'sign': (),
  'wheeled thing': (),
  'winged thing': (),
  'patterned thing': (),
  'striped thing': ('patterned thing',),
  'spotted thing': ('patterned thing',),
  'checked thing': ('patterned thing',),
  'mammal': ('animal',),
  'pet': ('mammal',),
  'hoofed mammal': ('mammal',),
  'bird': ('animal', 'winged thing'),
  'water bird': ('bird',),
  'sea animal': ('animal',),
  'bug': ('animal',),
  'flying insect': ('bug', 'winged thing'),
  'reptile': ('animal',),
  'land vehicle': ('vehicle', 'wheeled thing'),
  'motor vehicle': ('land vehicle',),
  'aircraft': ('vehicle',),
  'watercraft': ('vehicle',),
  'tree': ('plant',),
  'flower': ('plant',),
  'fruit': ('food',),
  'vegetable': ('food',),
  'dessert': ('food',),
  'hand tool': ('tool',),
  'cutting tool': ('tool',),
  'dwelling': ('building',),
  'landmark': ('building',),
  'tower': ('landmark',),
  'furniture': ('household item',),
  'vessel': ('household item',),
  'accessory': ('household item',),
  'polygon': ('sign',),
  'round sign': ('sign',),
}

# A kind a line: shape function, parents, looks (COLOR or PATTERN-COLOR).
_KINDS = """
dog            pet                        brown black spotted-white
cat            pet                        gray black striped-orange
rabbit         pet                        white brown
horse          hoofed_mammal              brown black white
cow            hoofed_mammal              brown spotted-white
giraffe        hoofed_mammal              spotted-yellow spotted-orange
elephant       mammal                     gray pink
finch          bird                       red yellow blue
duck           water_bird                 white brown yellow
penguin        water_bird                 black blue
owl            bird                       brown white
fish           sea_animal                 orange blue striped-yellow
whale          sea_animal                 blue gray
crab           sea_animal                 red orange
octopus        sea_animal                 purple pink
butterfly      flying_insect              blue orange spotted-yellow
bee            flying_insect              striped-yellow striped-orange
beetle         bug                        green blue spotted-red
spider         bug                        black brown
snake          reptile                    green striped-red
turtle         reptile                    green checked-brown
car            motor_vehicle              red blue white black
truck          motor_vehicle              red yellow blue white
bus            motor_vehicle              red yellow green
bicycle        land_vehicle               red blue
locomotive     land_vehicle               green red black
airplane       aircraft,winged_thing      white blue
helicopter     aircraft                   green orange
balloon        aircraft                   red purple checked-yellow
rocket         aircraft                   white red
sailboat       watercraft                 white striped-blue
ship           watercraft                 blue black
cottage        dwelling                   white yellow
tent           dwelling                   orange green striped-blue
skyscraper     tower                      gray blue
lighthouse     tower                      red blue
castle         landmark                   gray brown
windmill       tower                      white brown
bridge         landmark                   red gray
oak            tree                       green orange
pine           tree                       green blue
palm           tree                       green
daisy          flower                     white pink purple
tulip          flower                     red yellow pink
cactus         plant                      green
apple          fruit                      red green
banana         fruit                      yellow green
cherry         fruit                      red black
grapes         fruit                      purple green
carrot         vegetable                  orange purple
mushroom       vegetable                  brown spotted-red
pumpkin        vegetable                  orange white
icecream       dessert                    pink brown white
cake           dessert                    brown pink checked-white
hammer         hand_tool                  brown red
wrench         hand_tool                  gray blue
axe            cutting_tool               gray red
saw            cutting_tool               brown blue
scissors       cutting_tool               red green
chair          furniture                  brown blue white
table          furniture                  brown white
lamp           furniture                  yellow red
mug            vessel                     white red striped-blue
bottle         vessel                     green brown blue
teapot         vessel                     blue spotted-white
umbrella       accessory                  red black striped-purple
clock          accessory                  red gray
key            accessory                  yellow gray
star_sign      polygon                    yellow red
triangle       polygon                    red striped-yellow
hexagon        polygon                    blue checked-red
arrow          sign                       green black
cross          sign                       red white
bolt           sign                       yellow purple
heart          round_sign                 red pink
ring           round_sign                 blue orange
moon           round_sign                 yellow gray
standing       person                     red blue green striped-white
cheering       person                     yellow orange purple
running        person                     blue red checked-white
sitting        person                     green gray pink
"""

# What a kind is called where the name of its function would read badly.
_KIND_NAMES = {
  'star_sign': 'star',
  'icecream': 'ice cream',
  'balloon': 'hot-air balloon',
  'standing': 'standing person',
  'cheering': 'cheering person',
  'running': 'running person',
  'sitting': 'sitting person',
}

SEGMENT_CLASSES = (
  'mammal',
  'bird',
  'sea animal',
  'bug',
  'reptile',
  'land vehicle',
  'aircraft',
  'watercraft',
  'plant',
  'fruit',
  'vegetable',
  'dessert',
  'tool',
  'dwelling',
  'landmark',
  'person',
  'furniture',
  'vessel',
  'accessory',
  'sign',
)

# Zipf-Mandelbrot law of the leaves: share ~ 1 / (rank + SHIFT). The shift
# keeps the commonest leaf near 8% instead of 17%.
_ZIPF_SHIFT = 2.0


class Leaf(NamedTuple):
  """How one leaf category looks.

  Attributes:
    id: category id.
    kind: key of the shape function.
    color: key of `palette.BODY_COLORS`.
    pattern: 'plain', 'striped', 'spotted' or 'checked'.
  """

  id: int
  kind: str
  color: str
  pattern: str


class Taxonomy(NamedTuple):
  """A label space with what drawing and sampling need to know of it.

  Attributes:
    hierarchy: the label space; weights as in `class_weights`.
    leaves: the drawable categories, commonest first.
    leaf_probs: float64 [len(leaves)], their Zipf shares.
    siblings: {leaf id: tuple of leaf ids with a common parent kind or group}.
  """

  hierarchy: Hierarchy
  leaves: tuple[Leaf, ...]
  leaf_probs: np.ndarray
  siblings: dict[int, tuple[int, ...]]


def _leaf_rows() -> list[tuple[str, str, str, str, tuple[str, ...]]]:
  """(name, kind, color, pattern, kind's parents) of every leaf, by table."""
  rows = []
  for line in _KINDS.strip().splitlines():
    kind, parents, *looks = line.split()
    parents = tuple(p.replace('_', ' ') for p in parents.split(','))
    for look in looks:
      pattern, _, color = look.rpartition('-')
      rows.append((kind, color, pattern or 'plain', parents))
  return rows


def _leaf_name(kind, color, pattern):
  name = _KIND_NAMES.get(kind, kind)
  adjective = color if pattern == 'plain' else f'{pattern} {color}'
  if name.endswith(' person'):
    return f'{name} in {adjective}'
  return f'{adjective} {name}'


def _parents_of_names(rows):
  """{category name: parent names} of everything, and the leaves' names."""
  graph = dict(_INNER)
  for color in palette.BODY_COLORS:
    graph[f'{color} thing'] = ()
  names = []
  for kind, color, pattern, parents in rows:
    kind_name = _KIND_NAMES.get(kind, kind)
    graph[kind_name] = parents
    own = [kind_name, f'{color} thing']
    if pattern != 'plain':
      own.append(f'{pattern} thing')
    names.append(_leaf_name(kind, color, pattern))
    graph[names[-1]] = tuple(own)
  return graph, names


def _closure(graph, name):
  found = {name}
  for parent in graph[name]:
    found |= _closure(graph, parent)
  return found


def _chosen(graph, popular, num_classes):
  """Names to keep: commonest leaves first, as many as fit with ancestors."""
  kept, leaves = set(), []
  for name in popular:
    more = _closure(graph, name) | kept
    if len(more) <= num_classes:
      kept, leaves = more, leaves + [name]
  return kept, leaves


def class_weights(probs: np.ndarray) -> np.ndarray:
  """Metric weights of classes: by how common each is.

  The square root of the class's share of training objects, scaled to mean 1:
  common classes count more (as in FastEval14k), without the few roots that
  one picture in five belongs to drowning all others.
  """
  weights = np.sqrt(probs)
  return (weights / weights.mean()).astype(np.float32)


@functools.cache
def make_taxonomy(num_classes=None) -> Taxonomy:
  """Builds the label space.

  Args:
    num_classes: exact number of categories, inner ones included, from
      `MIN_CLASSES` to all (None: all). The commonest leaves are kept.

  Returns:
    A Taxonomy; the same object for the same argument.

  Raises:
    ValueError: num_classes is out of range.
  """
  rows = _leaf_rows()
  graph, names = _parents_of_names(rows)
  total = len(graph)
  num_classes = total if num_classes is None else num_classes
  if not MIN_CLASSES <= num_classes <= total:
    raise ValueError(
      f'num_classes of the miniature data must lie between {MIN_CLASSES} and '
      f'{total}, got {num_classes}.'
    )
  # A fixed shuffle decides which leaf is common: a property of the data set,
  # not of a seed.
  order = np.random.Generator(np.random.PCG64(300)).permutation(len(names))
  kept, popular = _chosen(graph, [names[i] for i in order], num_classes)
  id_of = {name: i for i, name in enumerate(n for n in graph if n in kept)}
  looks = dict(zip(names, rows))
  leaves = tuple(Leaf(id_of[n], *looks[n][:3]) for n in popular)
  shares = 1.0 / (np.arange(len(leaves)) + 1 + _ZIPF_SHIFT)
  shares /= shares.sum()
  probs = np.zeros(len(id_of))
  for name, share in zip(popular, shares):
    for ancestor in _closure(graph, name):
      probs[id_of[ancestor]] += share
  hierarchy = Hierarchy(
    range(len(id_of)),
    list(id_of),
    [tuple(sorted(id_of[p] for p in graph[n])) for n in id_of],
    class_weights(probs),
  )
  siblings = _siblings(graph, looks, popular, id_of)
  return Taxonomy(hierarchy, leaves, shares, siblings)


def _siblings(graph, looks, popular, id_of):
  """Leaves of the same kind or of the same group as each leaf."""
  group_of = {name: looks[name][3][0] for name in popular}
  return {
    id_of[name]: tuple(
      id_of[o] for o in popular if o != name and group_of[o] == group_of[name]
    )
    for name in popular
  }


def segment_class(hierarchy: Hierarchy, leaf_id: int) -> int:
  """Index of a leaf's class for segmentation, 1..len(SEGMENT_CLASSES).

  Raises:
    ValueError: the category is not below any of `SEGMENT_CLASSES`.
  """
  names = {hierarchy.names[a] for a in hierarchy.fill([leaf_id])}
  for i, name in enumerate(SEGMENT_CLASSES):
    if name in names:
      return i + 1
  raise ValueError(
    f'Category {hierarchy.names[leaf_id]!r} has no segmentation class: it is '
    'not a leaf of the miniature data.'
  )
