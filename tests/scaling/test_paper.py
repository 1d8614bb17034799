import pytest

from official_repro.scaling import claims, panels, paper

KEYS = (
  'table1_imagenet',
  'detection_coco',
  'detection_voc',
  'data_size',
  'epochs',
  'vocabulary',
  'capacity',
  'initialisation',
  'near_duplicates',
  'noise',
  'fill_in',
)


def shown(key):
  return {row[0]: [str(n) for n in row[1:]] for row in paper.find(key).rows}


def test_confirmed_numbers_have_no_mark():
  assert shown('table1_imagenet') == {
    'MSRA checkpoint': ['76.4', '92.9'],
    'random': ['77.5', '93.9'],
    'fine-tuned from JFT-300M': ['79.2', '94.7'],
  }
  coco = shown('detection_coco')
  assert ' '.join(coco['ImageNet + 300M']) == '58.0 37.4 40.1 17.5 41.1 51.2'
  assert coco['ImageNet'] == ['53.6', '34.3', *['n/r'] * 4]


def test_recalled_numbers_are_marked():
  assert shown('epochs') == {'1.3': ['35.0†'], '2.6': ['36.1†'], '4': ['36.8†']}
  assert shown('vocabulary') == {'941': ['31.2†'], '18,291 (all)': ['31.9†']}
  assert shown('detection_voc')['ImageNet + 300M'] == ['81.3†']
  assert shown('segmentation')['300M'] == ['75.3†']
  assert shown('pose')['300M'] == ['64.8‡']


@pytest.mark.parametrize('key', ['data_size', 'capacity', 'near_duplicates'])
def test_what_is_not_recovered_is_not_guessed(key):
  assert {n for row in shown(key).values() for n in row} == {'n/r'}


def test_a_recalled_claim_is_marked_where_no_number_could_be():
  exhibit = paper.find('near_duplicates')
  assert [c.mark for c in exhibit.claims] == [paper.UNSURE]
  assert 'recalled‡' in exhibit.note


@pytest.mark.parametrize('key', ['noise', 'fill_in'])
def test_what_the_paper_did_not_try_has_no_numbers_and_is_not_its_claim(key):
  exhibit = paper.find(key)
  assert exhibit.rows == ()
  assert [c.mark for c in exhibit.claims] == [None]


def test_every_number_has_a_mark_or_a_value():
  marks = (paper.CONFIRMED, paper.RECALLED, paper.UNSURE)
  assert set(KEYS) <= set(paper.EXHIBITS)
  for exhibit in paper.EXHIBITS.values():
    for row in exhibit.rows:
      assert len(row) == len(exhibit.columns)
      for number in row[1:]:
        assert (number.value is None) == (number.mark == paper.NOT_RECOVERED)
        assert number.value is None or number.mark in marks


def test_every_claim_can_be_held_against_a_study():
  for exhibit in paper.EXHIBITS.values():
    assert exhibit.axis in panels.AXES
    assert exhibit.claims
    for claim in exhibit.claims:
      (found,) = claims.find([], [claim])
      assert found.verdict == claims.OPEN


def test_an_unknown_key_gets_a_suggestion():
  with pytest.raises(ValueError, match="'data_sizes'.*mean data_size"):
    paper.find('data_sizes')
