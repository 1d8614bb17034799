"""Parts of a data folder as small manifests over the same records."""

from official_repro.data.subsets.writing import (
  check_output,
  compose,
  write_subset,
)

__all__ = ['check_output', 'compose', 'write_subset']
