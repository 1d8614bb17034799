"""The plots of a data set's report, as SVG text.

Okabe and Ito's blue and vermilion are told apart with any colour vision; line
style or hatching differ as well, for print.
"""

import io
from collections.abc import Sequence
from typing import Optional

import matplotlib
from matplotlib import figure, ticker

GIVEN, FILLED, ADDED = '#D55E00', '#0072B2', '#009E73'
_TEXT, _FAINT = '#222222', '#767676'
_SIZE = (5.2, 3.3)  # inches; small, so that text stays readable on a phone
_MAX_BARS = 24
_STYLE = {
  'font.size': 10.5,
  'font.family': 'DejaVu Sans',
  'axes.edgecolor': _FAINT,
  'axes.labelcolor': _TEXT,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.axisbelow': True,
  'xtick.color': _TEXT,
  'ytick.color': _TEXT,
  'hatch.linewidth': 0.6,
  'svg.fonttype': 'path',
  # Otherwise ids in the file are random: the same data, the same file.
  'svg.hashsalt': 'report',
}


def label_frequency(
  given: Optional[Sequence], filled: Sequence, bounds: Sequence[int] = ()
) -> str:
  """Pictures of a category against its rank, both axes logarithmic.

  Args:
    given: [(rank from 1, pictures)] of the labels before the fill-in, or None.
    filled: the same after it.
    bounds: numbers of pictures at which a line is drawn.

  Returns:
    SVG.
  """
  with matplotlib.rc_context(_STYLE):
    fig, axes = _axes('Categories, most frequent first', 'Pictures')
    axes.set_xscale('log')
    axes.set_yscale('log')
    for curve, color, style, label in (
      (filled, FILLED, '-', 'filled in'),
      (given, GIVEN, '--', 'given'),
    ):
      if curve:
        ranks, pictures = zip(*curve)
        marker = 'o' if len(curve) == 1 else None
        axes.plot(
          ranks, pictures, style, color=color, lw=2, label=label, marker=marker
        )
    for bound in bounds:
      axes.axhline(bound, color=_FAINT, lw=1, ls=':')
      axes.annotate(
        f'{bound:,} pictures',
        (1, bound),
        xycoords=('axes fraction', 'data'),
        xytext=(0, 2),
        textcoords='offset points',
        ha='right',
        color=_FAINT,
        fontsize=9,
      )
    curves = [*(given or ()), *filled]
    axes.set_xlim(0.9, max([10, *(r for r, _ in curves)]) * 1.1)
    axes.set_ylim(0.8, max([10, *bounds, *(n for _, n in curves)]) * 1.8)
    for axis in (axes.xaxis, axes.yaxis):
      axis.set_major_formatter(ticker.FuncFormatter(_short))
      axis.set_minor_formatter(ticker.NullFormatter())
    axes.grid(alpha=0.25)
    return _svg(fig)


def labels_per_image(given: Optional[Sequence], filled: Sequence) -> str:
  """Share of the pictures that have so many labels, as bars.

  Args:
    given: [(labels, pictures)] before the fill-in, or None.
    filled: the same after it.

  Returns:
    SVG. The last bar holds all pictures with as many labels or more.
  """
  with matplotlib.rc_context(_STYLE):
    fig, axes = _axes('Labels of a picture', 'Share of the pictures')
    kinds = [(filled, FILLED, '', 'filled in')]
    if given:
      kinds.insert(0, (given, GIVEN, '///', 'given'))
    last = max([1, *(n for rows, *_ in kinds for n, _ in rows)])
    cut = last > _MAX_BARS
    last = min(last, _MAX_BARS)
    width = 0.84 / len(kinds)
    for i, (rows, color, hatch, label) in enumerate(kinds):
      heights = [0.0] * (last + 1)
      total = sum(count for _, count in rows) or 1
      for n, count in rows:
        heights[min(n, last)] += count / total
      left = [x - 0.42 + (i + 0.5) * width for x in range(last + 1)]
      _bars(axes, left, heights, width, color, hatch, label)
    _whole_ticks(axes, last, cut)
    axes.yaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=0))
    return _svg(fig)


def labels_by_depth(
  given: Optional[Sequence[int]], added: Sequence[int]
) -> str:
  """Given labels and those that the fill-in added, by depth, as stacked bars.

  Args:
    given: labels by depth from 0, or None.
    added: the same of the added ones.

  Returns:
    SVG.
  """
  with matplotlib.rc_context(_STYLE):
    fig, axes = _axes('Depth in the hierarchy (0: root)', 'Labels')
    depths = list(range(len(added)))
    given = given or [0] * len(added)
    _bars(axes, depths, given, 0.7, GIVEN, '///', 'given')
    _bars(axes, depths, added, 0.7, ADDED, '', 'added', bottom=given)
    _whole_ticks(axes, max(depths, default=0), False)
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(_short))
    return _svg(fig)


def _axes(x_label, y_label):
  # Not pyplot: it keeps every figure and asks for a display.
  fig = figure.Figure(figsize=_SIZE, layout='constrained')
  axes = fig.add_subplot()
  axes.set_xlabel(x_label)
  axes.set_ylabel(y_label)
  return fig, axes


def _bars(axes, x, heights, width, color, hatch, label, bottom=None):
  axes.bar(
    x,
    heights,
    width,
    bottom=bottom,
    color=color,
    hatch=hatch,
    edgecolor='white',
    linewidth=0.5,
    label=label,
  )
  axes.grid(axis='y', alpha=0.25)


def _whole_ticks(axes, last, cut):
  """Puts ticks at whole numbers; the last bar of a cut axis is open above."""
  step = max(1, -(-(last + 1) // 13))
  ticks = list(range(0, last + 1, step))
  if cut and ticks[-1] != last:
    ticks[-1:] = [last] if last - ticks[-1] < step else [ticks[-1], last]
  axes.set_xticks(
    ticks, [f'{t}+' if cut and t == last else str(t) for t in ticks]
  )
  axes.set_xlim(-0.7, last + 0.7)


def _short(value, _=None):
  """1500 -> '1.5k', 2e6 -> '2M'."""
  for size, unit in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
    if value >= size:
      return f'{value / size:g}{unit}'
  return f'{value:g}'


def _svg(fig):
  if fig.axes[0].get_legend_handles_labels()[0]:
    # Above the plot, where it hides nothing.
    fig.legend(frameon=False, loc='outside upper right', ncols=2)
  out = io.StringIO()
  # Without the time of day in it.
  fig.savefig(out, format='svg', metadata={'Date': None})
  return out.getvalue()
