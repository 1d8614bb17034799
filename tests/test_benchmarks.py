"""Every line that a benchmark prints says on what CPU, and how, it was run."""

import ast
import pathlib
import platform

import pytest

from benchmarks import machine

FOLDER = pathlib.Path(__file__).parents[1] / 'benchmarks'
# What imports TensorFlow when it is imported.
TENSORFLOW = ('official', 'tensorflow', 'tensorflow_datasets')


def calls(tree, name):
  """Returns the calls of a function, NAME or MODULE.NAME, in a tree."""
  return [
    node
    for node in ast.walk(tree)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == name
  ]


def printed(tree):
  """Returns the calls of print that go to stdout."""
  return [
    call
    for call in calls(tree, 'print')
    if not any(k.arg == 'file' for k in call.keywords)
  ]


def main_of(tree):
  """Returns the function main of a module, None where there is none."""
  functions = (n for n in tree.body if isinstance(n, ast.FunctionDef))
  return next((f for f in functions if f.name == 'main'), None)


def benchmark_trees():
  """Returns {name: tree} of the files with a main that prints."""
  trees = {p.stem: ast.parse(p.read_text()) for p in FOLDER.glob('*.py')}
  return {
    name: tree
    for name, tree in sorted(trees.items())
    if (main := main_of(tree))
    and (calls(main, 'machine.print_line') or printed(tree))
  }


TREES = benchmark_trees()


def imported(statements):
  """Returns [(line, module)] that statements outside of functions import."""
  found = []
  for node in statements:
    if isinstance(node, ast.Import):
      found += [(node.lineno, alias.name) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      found.append((node.lineno, node.module))
      found += [(node.lineno, f'{node.module}.{a.name}') for a in node.names]
  return found


def imports_tensorflow(module, seen):
  """Whether TensorFlow is imported with a module, by whatever it imports."""
  if module.split('.')[0] in TENSORFLOW:
    return True
  path = FOLDER.parent.joinpath(*module.split('.'))
  paths = path.with_suffix('.py'), path / '__init__.py'
  source = next((p for p in paths if p.exists()), None)
  if source is None or module in seen:
    return False
  seen.add(module)
  statements = ast.parse(source.read_text()).body
  return any(imports_tensorflow(name, seen) for _, name in imported(statements))


def test_the_rule_finds_the_benchmarks():
  assert len(TREES) > 20
  assert {'train_step', 'omniglot', 'build_records'} <= TREES.keys()
  assert not {'pinned', 'machine', 'turns', 'versus', 'peer'} & TREES.keys()


@pytest.mark.parametrize('name', TREES)
class TestLine:
  def test_is_printed_with_the_facts(self, name):
    main = main_of(TREES[name])
    assert len(calls(main, 'machine.print_line')) == 1
    assert not printed(main)

  def test_is_not_printed_by_hand(self, name):
    assert not any(calls(p, 'json.dumps') for p in printed(TREES[name]))

  def test_has_no_facts_of_its_own(self, name):
    text = ast.unparse(TREES[name])
    assert 'os.cpu_count()' not in text
    assert 'platform.' not in text


@pytest.mark.parametrize('name', TREES)
class TestPrepare:
  def test_comes_first(self, name):
    tree = TREES[name]
    main = main_of(tree)
    above = [s for s in tree.body if calls_prepare(s)]
    inside = [s for s in main.body if calls_prepare(s)]
    assert len(above + inside) == 1
    # Processes are started, and folders filled, in these.
    work = [s for s in main.body if isinstance(s, ast.With)]
    if inside and work:
      assert inside[0].lineno < work[0].lineno

  def test_comes_before_tensorflow(self, name):
    tree = TREES[name]
    lines = [
      line
      for line, module in imported(tree.body)
      if imports_tensorflow(module, {f'benchmarks.{name}'})
    ]
    above = [s.lineno for s in tree.body if calls_prepare(s)]
    assert not lines or (above and above[0] < min(lines))

  def test_is_not_done_by_hand(self, name):
    assert 'TF_CPP_MIN_LOG_LEVEL' not in ast.unparse(TREES[name])


def calls_prepare(statement):
  """Whether a statement is machine.prepare() itself."""
  return (
    isinstance(statement, ast.Expr)
    and ast.unparse(statement) == 'machine.prepare()'
  )


def test_facts():
  facts = machine.facts()
  assert list(facts) == ['cpu', 'cpu_extensions', 'cpus', 'onednn', 'python']
  assert isinstance(facts['cpu'], str)
  assert facts['cpu']
  assert isinstance(facts['cpu_extensions'], list)
  assert all(isinstance(x, str) for x in facts['cpu_extensions'])
  assert isinstance(facts['cpus'], int)
  assert isinstance(facts['onednn'], bool)
  assert facts['python'] == platform.python_version()
