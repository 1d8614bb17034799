"""The commands that documents show can be typed as they stand."""

import pathlib
import shlex

import pytest
from absl import flags

from cluster import command, local_cluster, render, spec

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ('README.md', 'docs/from-laptop-to-cluster.md')


def commands(page):
  """Returns [module, word, ...] of each `python -m` line of a page."""
  text = (ROOT / page).read_text('utf-8').replace('\\\n', '')
  lines = (line.strip() for line in text.splitlines())
  start = 'python -m '
  return [
    shlex.split(line[len(start) :], comments=True)
    for line in lines
    if line.startswith(start)
  ]


def own_flags(words, *names, switches=()):
  """Parses the numbers and switches of a binary."""
  values = flags.FlagValues()
  for name in names:
    flags.DEFINE_integer(name, 0, '', flag_values=values)
  for name in switches:
    flags.DEFINE_bool(name, False, '', flag_values=values)
  assert values(['', *words]) == [''], words
  return values


@pytest.mark.parametrize('page', PAGES)
def test_trainings(page):
  found = [words for words in commands(page) if words[0] in command.MODULES]
  assert found
  for module, *words in found:
    # What is left out is left out of the document, too.
    words = [word for word in words if word != '...']
    values = command.parse({})
    assert values([module, *words]) == [module], words


@pytest.mark.parametrize('page', PAGES)
def test_clusters(page):
  found = [x for x in commands(page) if x[0] == 'cluster.local_cluster']
  assert found
  for words in found:
    split = words.index('--')
    before, after = words[1:split], words[split + 1 :]
    values = own_flags(
      before, 'chiefs', 'workers', 'ps', 'restarts', switches=['evaluator']
    )
    kinds = {'chief': values.chiefs, 'worker': values.workers, 'ps': values.ps}
    local_cluster.check(after, kinds, values.evaluator, values.restarts)
    # `check` leaves flags that it does not know to the binary.
    assert command.parse({})(after) == after[:1]


@pytest.mark.parametrize('page', PAGES)
def test_jobs(page):
  found = [words for words in commands(page) if words[0] == 'cluster.render']
  assert found
  for words in found:
    values = dict(word[2:].split('=', 1) for word in words[1:])
    assert set(values) == {'spec', 'target', 'output'}
    job = spec.load(str(ROOT / values['spec']))
    assert render.render(job, values['target'])
