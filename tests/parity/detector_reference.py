"""Runs the reference Faster R-CNN on several cases; a program of its own.

python detector_reference.py TOOLS_DIR SITE OUTPUT_DIR CASE...

Writes OUTPUT_DIR/CASE/model.ckpt.* and outputs.npz for each case, see
TOOLS_DIR/reference_detector.py. All cases run in one process: importing takes
as long as a case. Beside what that program writes, outputs.npz has the
normalised proposals, to the last bit: `normalised` [300, 4] of the test run,
`training_normalised` [300, 4] and `training_count` [1] of the training run.
"""

import functools
import os
import sys

os.environ['PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION'] = 'python'

# Name: depth, seed, classes, height, width, min and max of the resized sides.
CASES = {
  'tall_50': (50, 1, 3, 150, 90, 112, 160),
  'wide_101': (101, 3, 5, 64, 130, 80, 224),
}
# With these a run of the tests would take a minute and a half more.
if os.environ.get('PARITY_CASES') == 'all':
  CASES |= {
    'wide_50': (50, 0, 7, 120, 160, 128, 224),
    'square_101': (101, 4, 20, 97, 97, 128, 128),
  }


class Recorder:
  """Adds tensors to what the reference program fetches and writes.

  It also gives all variables their values in one run: the program does it in
  one run for each, which takes most of its time. And it runs graphs as they
  are: rewriting them first takes longer than the one run.
  """

  def __init__(self, reference, tf1):
    self._more, self._values = {}, {}
    self._build, self._run = reference.build, tf1.Session.run
    reference.build = self.build
    tf1.Session.run = lambda *args, **kwargs: self.run(*args, **kwargs)
    config = tf1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    tf1.Session = functools.partial(tf1.Session, config=config)

  def build(self, builder, proto, config, training):
    """Replaces reference_detector.build."""
    model = self._build(builder, proto, config, training)
    predict = model.predict

    def recorded(*args, **kwargs):
      predicted = predict(*args, **kwargs)
      boxes = predicted['proposal_boxes_normalized'][0]
      if training:
        count = predicted['num_proposals']
        self._more = {'training_normalised': boxes, 'training_count': count}
      else:
        self._more = {'normalised': boxes}
      return predicted

    model.predict = recorded
    return model

  def load(self, variable, value, _):
    """Replaces Variable.load."""
    self._values[variable] = value

  def run(self, session, fetches, feeds=None, **kwargs):
    """Replaces Session.run."""
    values, self._values = self._values, {}
    if values:
      starts = {v.initializer: value for v, value in values.items()}
      self._run(
        session, list(starts), {op.inputs[1]: x for op, x in starts.items()}
      )
    if isinstance(fetches, dict):
      fetches = {**fetches, **self._more}
    return self._run(session, fetches, feeds, **kwargs)


def main():
  tools, site, output, *cases = sys.argv[1:]
  sys.path.insert(0, tools)
  import reference_detector
  import tensorflow as tf
  from tensorflow.python.ops import ref_variable, resource_variable_ops

  recorder = Recorder(reference_detector, tf.compat.v1)
  for kind in (
    ref_variable.RefVariable,
    resource_variable_ops.BaseResourceVariable,
  ):
    kind.load = lambda v, value, session=None: recorder.load(v, value, session)
  for case in cases:
    depth, seed, classes, height, width, low, high = CASES[case]
    sys.argv[1:] = [
      f'--site={site}',
      f'--depth={depth}',
      f'--seed={seed}',
      f'--num_classes={classes}',
      f'--height={height}',
      f'--width={width}',
      f'--min_dimension={low}',
      f'--max_dimension={high}',
      f'--output={output}/{case}',
    ]
    reference_detector.main()


if __name__ == '__main__':
  main()
