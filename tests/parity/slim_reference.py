"""Runs TF-slim's resnet_v1 with a head; a program of its own.

python slim_reference.py TOOLS_DIR OUTPUT_DIR DEPTH CASE...

OUTPUT_DIR/model.ckpt.* is a TF-slim checkpoint of resnet_v1_DEPTH with 5 logits
on random weights. OUTPUT_DIR/outputs.npz holds for every case CASE/images,
CASE/block1..block4, CASE/logits and, for a training case, the moving
statistics after one step as CASE/updated/VARIABLE.
"""

import os
import pathlib
import sys

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import numpy as np

# Name: output stride, height, width, training.
CASES = {
  'os32_odd': (32, 97, 65, False),
  'os32_even': (32, 96, 70, False),
  'os16_even': (16, 64, 96, False),
  'os8_odd': (8, 65, 97, False),
  'os8_even': (8, 64, 70, False),
  'os32_train': (32, 97, 64, True),
  'os8_train': (8, 64, 65, True),
}


def run(case, depth, resnet_v1, randomise, checkpoint, rng):
  """Returns the outputs of one case; the first makes the checkpoint."""
  import tensorflow as tf
  import tf_slim

  tf1 = tf.compat.v1
  output_stride, height, width, training = CASES[case]
  images = rng.uniform(-1, 1, (2, height, width, 3)).astype(np.float32)
  config = tf1.ConfigProto()  # rewriting a graph takes longer than one run
  config.graph_options.rewrite_options.disable_meta_optimizer = True
  with tf.Graph().as_default(), tf1.Session(config=config) as session:
    with tf_slim.arg_scope(resnet_v1.resnet_arg_scope()):
      logits, ends = getattr(resnet_v1, f'resnet_v1_{depth}')(
        tf.constant(images),
        num_classes=5,
        is_training=training,
        output_stride=None if output_stride == 32 else output_stride,
      )
    fetch = {
      f'block{i}': ends[f'resnet_v1_{depth}/block{i}'] for i in range(1, 5)
    }
    fetch['logits'] = logits[:, 0, 0]
    variables = tf1.global_variables()
    saver = tf1.train.Saver(variables)
    if tf.io.gfile.exists(checkpoint + '.index'):
      saver.restore(session, checkpoint)
    else:
      values = randomise(variables, rng)
      session.run(
        [v.initializer for v in values],
        {v.initializer.inputs[1]: value for v, value in values.items()},
      )
      saver.save(session, checkpoint, write_meta_graph=False)
    out = session.run(fetch)
    if training:
      session.run(tf1.get_collection(tf1.GraphKeys.UPDATE_OPS))
      moving = [v for v in variables if 'moving_' in v.op.name]
      values = session.run(moving)
      out |= {f'updated/{v.op.name}': x for v, x in zip(moving, values)}
  return {f'{case}/{k}': v for k, v in {'images': images, **out}.items()}


def main():
  tools, output, depth, *cases = sys.argv[1:]
  output = pathlib.Path(output)
  sys.path.insert(0, tools)
  import reference_site
  from reference_trunk import randomise

  resnet_v1 = reference_site.slim()
  output.mkdir(parents=True, exist_ok=True)
  rng = np.random.default_rng(0)
  checkpoint = str(output / 'model.ckpt')
  outputs = {}
  for case in cases:
    outputs |= run(case, depth, resnet_v1, randomise, checkpoint, rng)
  np.savez(output / 'outputs.npz', **outputs)


if __name__ == '__main__':
  main()
