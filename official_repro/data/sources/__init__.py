"""Where labelled pictures come from."""

from official_repro.data.sources.csv_file import CsvSource
from official_repro.data.sources.imagenet_folder import ImagenetFolderSource
from official_repro.data.sources.mini_jft import MiniJftSource
from official_repro.data.sources.open_images import OpenImagesSource
from official_repro.data.sources.source import (
  BadRecord,
  Item,
  Reader,
  Source,
)
from official_repro.data.sources.tencent_lists import TencentSource

__all__ = [
  'BadRecord',
  'CsvSource',
  'ImagenetFolderSource',
  'Item',
  'MiniJftSource',
  'OpenImagesSource',
  'Reader',
  'Source',
  'TencentSource',
]
