"""The checksum of TFRecord files in NumPy, for reading them without TensorFlow.

CRC-32C (Castagnoli, reflected polynomial 0x82F63B78). The check is linear over
GF(2): the contributions of 256 bytes are looked up at once and XORed, so that
the Python loop turns once per 256 bytes.
"""

import numpy as np

_POLYNOMIAL = 0x82F63B78
_ROW = 256
_MASK_DELTA = 0xA282EAD8


def _make_tables():
  """Returns uint32 [_ROW, 256]: what byte b at place p of a row adds."""
  last = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    last = (last >> 1) ^ np.where(last & 1, np.uint32(_POLYNOMIAL), 0)
  last = last.astype(np.uint32)
  tables = [last]
  for _ in range(_ROW - 1):
    tables.append(last[tables[-1] & 255] ^ (tables[-1] >> 8))
  return np.stack(tables[::-1])


_TABLES = _make_tables()
_PLACES = np.arange(_ROW) * 256
_FLAT = _TABLES.ravel()
_FIRST = [_TABLES[i].tolist() for i in range(4)]
_LAST = _TABLES[-1].tolist()


def crc32c(data: bytes) -> int:
  """Returns the CRC-32C of `data`."""
  crc = 0xFFFFFFFF
  head = len(data) % _ROW
  for byte in data[:head]:
    crc = _LAST[(crc ^ byte) & 255] ^ (crc >> 8)
  rows = np.frombuffer(data, np.uint8, offset=head).reshape(-1, _ROW)
  parts = np.bitwise_xor.reduce(_FLAT[rows + _PLACES], axis=1)
  t0, t1, t2, t3 = _FIRST
  for part in parts.tolist():
    # The running value acts as if XORed into the first four bytes of the row.
    crc = (
      part
      ^ t0[crc & 255]
      ^ t1[crc >> 8 & 255]
      ^ t2[crc >> 16 & 255]
      ^ t3[crc >> 24]
    )
  return crc ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
  """Returns the CRC-32C of `data`, masked as TFRecord files store it."""
  crc = crc32c(data)
  return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
