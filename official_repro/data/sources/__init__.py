"""Where labelled pictures come from."""

from official_repro.data.sources.coco import CocoSource
from official_repro.data.sources.csv_file import CsvSource
from official_repro.data.sources.imagenet_folder import ImagenetFolderSource
from official_repro.data.sources.mini_coco import MiniCocoSource
from official_repro.data.sources.mini_jft import MiniJftSource
from official_repro.data.sources.mini_person import MiniPersonSource
from official_repro.data.sources.mini_voc import MiniVocSource
from official_repro.data.sources.open_images import OpenImagesSource
from official_repro.data.sources.source import (
  BadRecord,
  Item,
  Reader,
  Source,
)
from official_repro.data.sources.tencent_lists import TencentSource
from official_repro.data.sources.tfds_files import TfdsSource
from official_repro.data.sources.voc import VocSource

__all__ = [
  'BadRecord',
  'CocoSource',
  'CsvSource',
  'ImagenetFolderSource',
  'Item',
  'MiniCocoSource',
  'MiniJftSource',
  'MiniPersonSource',
  'MiniVocSource',
  'OpenImagesSource',
  'Reader',
  'Source',
  'TencentSource',
  'TfdsSource',
  'VocSource',
]
