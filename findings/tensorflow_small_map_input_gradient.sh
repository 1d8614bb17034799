#!/usr/bin/env bash
# TensorFlow 2.20.0 on an x86 CPU without oneDNN: the gradient of a 1x1
# convolution to its input takes many times the matrix product that it is, when
# the maps are small. The forward convolution and the gradient to the filter
# take about as long as their products, so a profile of inference shows nothing.
#
# oneDNN is off by TensorFlow's own choice wherever the CPU has no AVX512_VNNI,
# which is most laptops; the variable below makes any x86 CPU show it.
#
# Seen on one core with AVX-512, CPU milliseconds, 64 maps of 2x2, 512 to 1024
# channels: forward 3.3, gradient 78.9, its product 3.3, ratio 23.7. Exits 1 if
# the ratio falls below 5.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tensorflow-cpu==2.20.0
TF_ENABLE_ONEDNN_OPTS=0 TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - <<'PY'
import sys
import time

import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
MAPS, SIDE, CHANNELS, FILTERS = 64, 2, 512, 1024
x = tf.random.normal([MAPS, SIDE, SIDE, CHANNELS])
kernel = tf.random.normal([1, 1, CHANNELS, FILTERS])
dy = tf.random.normal([MAPS, SIDE, SIDE, FILTERS])
rows = tf.reshape(dy, [-1, FILTERS])
matrix = tf.reshape(kernel, [CHANNELS, FILTERS])


def median_ms(function):
  took = []
  for _ in range(12):
    start = time.process_time()
    function().numpy()
    took.append(time.process_time() - start)
  return sorted(took[2:])[5] * 1e3


@tf.function
def forward():
  return tf.nn.conv2d(x, kernel, 1, 'SAME')


@tf.function
def gradient():
  return tf.raw_ops.Conv2DBackpropInput(
    input_sizes=tf.shape(x), filter=kernel, out_backprop=dy,
    strides=[1, 1, 1, 1], padding='SAME')


@tf.function
def product():
  return tf.matmul(rows, matrix, transpose_b=True)


error = tf.reduce_max(tf.abs(tf.reshape(gradient(), [-1, CHANNELS]) - product()))
found = {}
for name, function in (
    ('forward', forward), ('gradient', gradient), ('product', product)):
  found[name] = median_ms(function)
ratio = found['gradient'] / found['product']
print(f'TensorFlow {tf.__version__}:', {k: round(v, 1) for k, v in found.items()},
      f'ratio {ratio:.1f}, largest difference {float(error):.1e}')
sys.exit(ratio < 5)
PY
