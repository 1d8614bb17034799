"""No two modules import each other, however far round (part of make lint)."""

import graphlib

import grimp
import pytest

PACKAGES = ('official_repro', 'object_detection', 'deeplab', 'pose', 'cluster')


def _order(graph):
  """Returns the modules, imported ones first; CycleError on a cycle."""
  imports = {
    m: graph.find_modules_directly_imported_by(m) for m in graph.modules
  }
  return list(graphlib.TopologicalSorter(imports).static_order())


def test_there_is_no_import_cycle():
  graph = grimp.build_graph(*PACKAGES, cache_dir=None)
  order = _order(graph)
  losses, task = 'official_repro.losses', 'official_repro.task'
  assert order.index(losses) < order.index(task)


def test_a_cycle_would_be_found():
  graph = grimp.build_graph(*PACKAGES, cache_dir=None)
  graph.add_import(
    importer='official_repro.losses', imported='official_repro.task'
  )
  with pytest.raises(graphlib.CycleError):
    _order(graph)
