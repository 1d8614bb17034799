"""The checksum of TFRecord files, without TensorFlow."""

import google_crc32c

_MASK_DELTA = 0xA282EAD8


def crc32c(data: bytes) -> int:
  """Returns the CRC-32C (Castagnoli) of `data`."""
  return google_crc32c.value(data)


def masked_crc32c(data: bytes) -> int:
  """Returns the CRC-32C of `data`, masked as TFRecord files store it."""
  crc = crc32c(data)
  return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
