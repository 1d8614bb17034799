import pytest

from tests.data.subsets import folders


@pytest.fixture(scope='module')
def full(tmp_path_factory):
  return folders.write(
    tmp_path_factory.mktemp('data') / 'full', range(folders.N)
  )


@pytest.fixture
def own(tmp_path):
  """A folder that the test may damage."""
  return folders.write(tmp_path / 'own', range(folders.N))
