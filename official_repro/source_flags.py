"""The flags of build_records that say where the images come from."""

import difflib

from absl import flags

from official_repro.data import sources

_TFDS = 'tfds:'


def define_source_flags() -> None:
  """Defines --source and the flags of each source."""
  d = flags
  d.DEFINE_string(
    'source',
    None,
    f'Where the images come from: {", ".join(_FLAGS_OF)} or {_TFDS}NAME, a '
    'TensorFlow Datasets set that is on disk.',
  )
  _define_mini_jft()
  d.DEFINE_string(
    'image_root',
    None,
    'Folder of the images. Default: the one '
    'that holds the table or list. imagenet_folder: the folder '
    'of the class folders. coco: may be SPLIT=FOLDER,...',
  )
  d.DEFINE_float(
    'eval_fraction',
    None,
    'Share of the images for evaluation, by a hash of the path. Default: 0.1, '
    'or the splits that the source has.',
  )
  d.DEFINE_string('labels', None, 'labels.tsv. Default: a flat space.')
  d.DEFINE_string('csv', None, 'csv: table with the columns image, labels.')
  _define_lists()
  _define_boxes()


def make_source() -> sources.Source:
  """Returns the source that the flags ask for.

  Raises:
    ValueError: the source is unknown, a flag of it is missing, or a flag
      belongs to another source.
    FileNotFoundError, ValueError: as the source raises them.
  """
  values = flags.FLAGS
  name = values.source
  if name.startswith(_TFDS):
    kind = 'tfds'
  elif name in _MAKERS:
    kind = name
  else:
    near = difflib.get_close_matches(name, _MAKERS, 1, cutoff=0.4)
    hint = (
      f'did you mean {near[0]}?' if near else f'known: {", ".join(_MAKERS)}.'
    )
    raise ValueError(f'Unknown --source={name}; {hint}')
  for flag in _ALL_FLAGS:
    if values[flag].present and flag not in _FLAGS_OF[kind]:
      owners = [s for s, names in _FLAGS_OF.items() if flag in names]
      raise ValueError(
        f'Flag --{flag} belongs to --source={" or ".join(owners)}, not to '
        f'--source={name}.'
      )
  return _MAKERS[kind](values)


# Flags that a source reads; setting another's is an error.
_FLAGS_OF = {
  'mini_jft': (
    'num_images',
    'eval_images',
    'clean_images',
    'copies',
    'seed',
    'image_size',
    'noise',
    'missing',
    'num_classes',
  ),
  'mini_coco': ('num_images', 'eval_images', 'seed', 'image_size'),
  'mini_voc': ('num_images', 'eval_images', 'seed', 'image_size'),
  'mini_person': ('num_images', 'eval_images', 'seed', 'image_size'),
  'csv': ('csv', 'labels', 'image_root', 'eval_fraction'),
  'imagenet_folder': (
    'image_root',
    'split_folders',
    'labels',
    'dictionary',
    'wordnet_graph',
    'nested',
    'eval_fraction',
  ),
  'tencent_ml_images': (
    'image_list',
    'dictionary',
    'image_root',
    'eval_fraction',
  ),
  'open_images': (
    'image_labels',
    'label_hierarchy',
    'descriptions',
    'min_confidence',
    'image_pattern',
    'image_root',
    'eval_fraction',
  ),
  'coco': ('annotations', 'image_root', 'kind', 'minival'),
  'voc': ('image_root', 'image_sets', 'voc_task'),
  'tfds': ('tfds_dir', 'tfds_splits'),
}
_ALL_FLAGS = sorted({flag for names in _FLAGS_OF.values() for flag in names})


def _define_mini_jft():
  d = flags
  d.DEFINE_integer('num_images', 10000, 'mini_*: training images.')
  d.DEFINE_integer('eval_images', 1000, 'mini_*: evaluation images.')
  d.DEFINE_integer(
    'clean_images',
    0,
    'mini_jft: training images that also make the split clean, with all their '
    'true labels, so that the report can tell how noisy the others are.',
  )
  d.DEFINE_float(
    'copies',
    0.0,
    'mini_jft: share of training images that are near-copies of evaluation '
    'images, as they must be for official_repro.dedup to find any.',
  )
  d.DEFINE_integer('seed', 0, 'mini_*: which world is drawn.')
  d.DEFINE_integer(
    'image_size',
    None,
    'mini_*: side in pixels, of mini_coco, mini_voc and mini_person the longer '
    'one. Default: 72 for mini_jft, 160 for mini_coco, 128 for mini_voc, 192 '
    'for mini_person.',
  )
  d.DEFINE_float('noise', 0.2, 'mini_jft: share of wrong labels.')
  d.DEFINE_float(
    'missing', 0.5, 'mini_jft: chance that an object stays without label.'
  )
  d.DEFINE_integer(
    'num_classes', None, 'mini_jft: categories in all. Default: all there are.'
  )


def _define_lists():
  d = flags
  d.DEFINE_list(
    'split_folders',
    None,
    'imagenet_folder: folders of the splits, where they are not called train, '
    'val and the like.',
  )
  d.DEFINE_string(
    'dictionary',
    None,
    'imagenet_folder, tencent_ml_images: the dictionary and hierarchy of '
    'Tencent ML-Images, which has the WordNet ids of ImageNet.',
  )
  d.DEFINE_string(
    'wordnet_graph', None, 'imagenet_folder: WordNet graph, node-link JSON.'
  )
  d.DEFINE_bool(
    'nested', False, 'imagenet_folder: class folders may have folders in them.'
  )
  d.DEFINE_string('image_list', None, 'tencent_ml_images: the list of images.')
  d.DEFINE_list(
    'image_labels',
    None,
    'open_images: CSV of image-level labels, or SPLIT=CSV,...',
  )
  d.DEFINE_string('label_hierarchy', None, 'open_images: hierarchy JSON.')
  d.DEFINE_string(
    'descriptions', None, 'open_images: CSV of class descriptions.'
  )
  d.DEFINE_float(
    'min_confidence', 0.5, 'open_images: labels below it are left out.'
  )
  d.DEFINE_string(
    'image_pattern',
    None,
    'open_images: path of an image, with {image_id} and {split}.',
  )


def _define_boxes():
  d = flags
  d.DEFINE_list(
    'annotations', None, 'coco: SPLIT=JSON,..., such as train=FILE,val=FILE.'
  )
  d.DEFINE_enum(
    'kind', 'instances', ('instances', 'keypoints'), 'coco: what is annotated.'
  )
  d.DEFINE_integer(
    'minival',
    None,
    'coco: pictures of val that make the split minival; the others join train. '
    "The paper's minival* has 8000.",
    lower_bound=1,
  )
  d.DEFINE_list(
    'image_sets',
    None,
    'voc: SPLIT=YEAR/SET,..., such as '
    'train=VOC2007/trainval,train=VOC2012/trainval,test=VOC2007/test.',
  )
  d.DEFINE_enum(
    'voc_task',
    'detection',
    ('detection', 'segmentation'),
    'voc: boxes, or masks.',
  )
  d.DEFINE_string(
    'tfds_dir', None, "tfds: the data folder. Default: TFDS's own."
  )
  d.DEFINE_list('tfds_splits', None, 'tfds: splits to take. Default: all.')


def _needed(values, flag, what):
  if not values[flag].value:
    raise ValueError(f'Flag --{flag} is missing: name {what}.')
  return values[flag].value


def _pairs(flag, items):
  """Returns [(split, value)] of a list of SPLIT=VALUE."""
  pairs = [tuple(item.partition('=')[::2]) for item in items]
  for split, value in pairs:
    if not split or not value:
      raise ValueError(
        f'--{flag} takes SPLIT=VALUE, separated by commas, got {split!r}.'
      )
  return pairs


def _by_split(flag, items):
  """Returns {split: value} of a list of SPLIT=VALUE."""
  pairs = _pairs(flag, items)
  if len(dict(pairs)) < len(pairs):
    raise ValueError(f'--{flag} names a split twice: {",".join(items)}.')
  return dict(pairs)


def _mini_jft(values):
  return sources.MiniJftSource(
    values.num_images,
    values.eval_images,
    values.clean_images,
    values.copies,
    seed=values.seed,
    size=values.image_size or 72,
    noise=values.noise,
    missing=values.missing,
    num_classes=values.num_classes,
  )


def _mini_coco(values):
  return sources.MiniCocoSource(
    values.num_images,
    values.eval_images,
    seed=values.seed,
    size=values.image_size or 160,
  )


def _mini_voc(values):
  return sources.MiniVocSource(
    values.num_images,
    values.eval_images,
    seed=values.seed,
    size=values.image_size or 128,
  )


def _mini_person(values):
  return sources.MiniPersonSource(
    values.num_images,
    values.eval_images,
    seed=values.seed,
    size=values.image_size or 192,
  )


def _csv(values):
  return sources.CsvSource(
    _needed(values, 'csv', 'the table of the images'),
    labels=values.labels,
    image_root=values.image_root,
    eval_fraction=values.eval_fraction,
  )


def _imagenet_folder(values):
  return sources.ImagenetFolderSource(
    _needed(values, 'image_root', 'the folder of the class folders'),
    splits=values.split_folders,
    labels=values.labels,
    dictionary=values.dictionary,
    graph=values.wordnet_graph,
    nested=values.nested,
    eval_fraction=values.eval_fraction,
  )


def _tencent(values):
  return sources.TencentSource(
    _needed(values, 'image_list', 'the list of the images'),
    _needed(values, 'dictionary', "Tencent ML-Images' dictionary"),
    image_root=values.image_root,
    eval_fraction=values.eval_fraction,
  )


def _open_images(values):
  labels = _needed(values, 'image_labels', 'the CSV of image-level labels')
  one_file = len(labels) == 1 and '=' not in labels[0]
  options = {'pattern': values.image_pattern} if values.image_pattern else {}
  return sources.OpenImagesSource(
    labels[0] if one_file else _by_split('image_labels', labels),
    image_root=values.image_root,
    hierarchy=values.label_hierarchy,
    descriptions=values.descriptions,
    min_confidence=values.min_confidence,
    eval_fraction=values.eval_fraction,
    **options,
  )


def _coco(values):
  root = _needed(values, 'image_root', 'the folder of the images')
  return sources.CocoSource(
    _by_split('annotations', _needed(values, 'annotations', 'the JSON files')),
    _by_split('image_root', root.split(',')) if '=' in root else root,
    kind=values.kind,
    minival=values.minival,
  )


def _voc(values):
  image_sets = _needed(values, 'image_sets', 'the image sets')
  splits = {}
  for split, name in _pairs('image_sets', image_sets):
    year, _, image_set = name.partition('/')
    splits.setdefault(split, []).append((year, image_set))
  return sources.VocSource(
    _needed(values, 'image_root', 'the folder VOCdevkit'),
    splits,
    task=values.voc_task,
  )


def _tfds(values):
  return sources.TfdsSource(
    values.source[len(_TFDS) :],
    data_dir=values.tfds_dir,
    splits=values.tfds_splits,
  )


_MAKERS = {
  'mini_jft': _mini_jft,
  'mini_coco': _mini_coco,
  'mini_voc': _mini_voc,
  'mini_person': _mini_person,
  'csv': _csv,
  'imagenet_folder': _imagenet_folder,
  'tencent_ml_images': _tencent,
  'open_images': _open_images,
  'coco': _coco,
  'voc': _voc,
  'tfds': _tfds,
}
