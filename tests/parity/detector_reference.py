"""Runs the reference Faster R-CNN on several cases; a program of its own.

PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python \
    python detector_reference.py TOOLS_DIR SITE OUTPUT_DIR CASE...

Writes OUTPUT_DIR/CASE/model.ckpt.* and outputs.npz for each case, see
TOOLS_DIR/reference_detector.py. One process for all: importing takes longer
than running.
"""

import sys

# Name: depth, seed, classes, height, width, min and max of the resized sides.
CASES = {
  'wide_50': (50, 0, 7, 120, 160, 128, 224),
  'tall_50': (50, 1, 3, 150, 90, 112, 160),
  'square_101': (101, 2, 20, 97, 97, 96, 96),
  'wide_101': (101, 3, 5, 64, 130, 80, 224),
}


def main():
  tools, site, output, *cases = sys.argv[1:]
  sys.path.insert(0, tools)
  import reference_detector

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
