"""Reads a WordNet "is a" graph: node-link JSON, as networkx writes it."""

import collections
import json

from official_repro.data import hierarchy as hierarchy_lib


def load_graph(path) -> tuple[hierarchy_lib.Hierarchy, dict]:
  """Reads {"nodes": [{"id": wnid, "label": name}], "links": [...]}.

  A link goes from the wider category ("source") to the narrower ("target").
  Categories are in the order of their WordNet ids. A name that several share
  is followed by the WordNet id; a node without a label is named by its id.

  Returns:
    (label space, {WordNet id: label id}).

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no such JSON, or the hierarchy breaks a rule.
  """
  with open(path, encoding='utf-8-sig') as f:
    try:
      graph = json.load(f)
      names = {
        str(n['id']): str(n.get('label') or n['id']) for n in graph['nodes']
      }
      links = [(str(k['source']), str(k['target'])) for k in graph['links']]
    except (ValueError, KeyError, TypeError, AttributeError) as e:
      raise ValueError(
        f'{path} is no node-link JSON with nodes (id, label) and links '
        f'(source, target): {type(e).__name__}: {e}.'
      ) from e
  ids = {wordnet_id: i for i, wordnet_id in enumerate(sorted(names))}
  parents = [set() for _ in ids]
  for wider, narrower in links:
    for end in (wider, narrower):
      if end not in ids:
        raise ValueError(f'{path}: a link names {end!r}, which is no node.')
    parents[ids[narrower]].add(ids[wider])
  return _hierarchy(path, names, ids, parents), ids


def _hierarchy(path, names, ids, parents):
  count = collections.Counter(names.values())
  unique = [
    f'{names[w]} ({w})' if count[names[w]] > 1 else names[w] for w in ids
  ]
  try:
    return hierarchy_lib.Hierarchy(
      range(len(ids)), unique, parents, [1.0] * len(ids)
    )
  except ValueError as e:
    raise ValueError(f'{path}: {e}') from e
