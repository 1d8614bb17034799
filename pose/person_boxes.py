"""Which boxes an evaluation looks into: annotated or found by a detector."""

from collections.abc import Mapping

import numpy as np

from pose import coco_files, evaluate, task_config
from pose import people as people_lib


def of_config(
  params: task_config.DataConfig, people: people_lib.People
) -> tuple[Mapping[str, np.ndarray], str]:
  """Returns the boxes of a split.

  Args:
    params: of the split's data; boxes_file decides.
    people: who is on the split's pictures.

  Returns:
    {source id: float32 [N, 4]}, only of pictures that have some; and which
    kind they are, for the name of the metric: see evaluate.KeypointEvaluation.

  Raises:
    ValueError: there is none; the file is damaged, or has boxes for pictures
      that the split lacks.
  """
  if not params.boxes_file:
    return annotated(people, params.min_joints), evaluate.GT_BOXES
  return detected(params, people), evaluate.DETECTED_BOXES


def annotated(people: people_lib.People, min_joints: int = 1) -> dict:
  """Returns {source id: boxes [N, 4]} of people with labelled joints."""
  usable, found = people.usable(min_joints), {}
  for p, name in enumerate(people.source_ids.tolist()):
    own = people.of_picture(p)
    boxes = people.boxes[own][usable[own]]
    if len(boxes):
      found[name] = boxes
  if not found:
    raise ValueError(
      'No person of the evaluation split has a box and a labelled joint: there '
      'is nothing to evaluate.'
    )
  return found


def detected(params: task_config.DataConfig, people: people_lib.People) -> dict:
  """Returns {source id: boxes [N, 4]} of a results file; see of_config."""
  path = params.boxes_file
  by_id = coco_files.load_boxes(
    path,
    category_id=params.person_category,
    score_above=params.min_box_score,
  )
  names = people.source_ids.tolist()
  known = {str(coco_files.image_id(name)): name for name in names}
  unknown = [i for i in by_id if str(i) not in known]
  if unknown:
    raise ValueError(
      f'{path} has boxes for {len(unknown)} of {len(by_id)} pictures that the '
      f'split {params.split!r} of {params.data_dir!r} lacks; the first is '
      f'{unknown[0]!r}. Give the results of that split.'
    )
  if not by_id:
    raise ValueError(
      f'{path} has no box of category {params.person_category} with a score '
      f'above {params.min_box_score}; set '
      'task.validation_data.person_category or min_box_score.'
    )
  found = {}
  for i, (boxes, scores) in by_id.items():
    kept = coco_files.box_nms(boxes, scores, params.max_box_overlap)
    found[known[str(i)]] = boxes[kept]
  return found
