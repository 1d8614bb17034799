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


NONE = ['n/r'] * 4
NUMBERS = {
  'table1_imagenet': {
    'MSRA checkpoint': ['76.4', '92.9'],
    'random': ['77.5', '93.9'],
    'fine-tuned from JFT-300M': ['79.2', '94.7'],
  },
  'detection_coco': {
    'He et al.': ['53.3', '32.2', *NONE],
    'ImageNet': ['53.6', '34.3', *NONE],
    '300M': ['56.9', '36.7', *NONE],
    'ImageNet + 300M': ['58.0', '37.4', '40.1', '17.5', '41.1', '51.2'],
    'Inception-ResNet-v2': ['56.3', '35.5', *NONE],
  },
  'detection_voc': {
    'ImageNet': ['76.3†'],
    '300M': ['81.4†'],
    'ImageNet + 300M': ['81.3†'],
  },
  'segmentation': {
    'ImageNet': ['73.6†'],
    '300M': ['75.3†'],
    'ImageNet + 300M': ['76.5†'],
  },
  'pose': {
    'CMU-Pose': ['61.8'],
    'G-RMI, COCO only, as published': ['64.9'],
    'G-RMI, COCO only, as quoted in this paper': ['62.4‡'],
    '300M': ['64.8‡'],
    'ImageNet + 300M': ['64.4‡'],
  },
  'epochs': {'1.3': ['35.0†'], '2.6': ['36.1†'], '4': ['36.8†']},
  'vocabulary': {'941': ['31.2†'], '18,291 (all)': ['31.9†']},
}


@pytest.mark.parametrize('key', NUMBERS)
def test_every_number_and_its_mark(key):
  assert shown(key) == NUMBERS[key]


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
