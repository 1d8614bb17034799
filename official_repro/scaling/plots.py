"""The plots of a study's report.

Okabe and Ito's colours, told apart with any colour vision; marker and line
style differ as well, for print. In a page the colours are variables of its
style sheet, so that they follow light and dark.
"""

import io
import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple, Optional

import matplotlib
import numpy as np
from matplotlib import figure, ticker, transforms
from PIL import Image

from official_repro.scaling import panels

# (colour, variable of the page)
COLORS = {
  '#0072B2': '--series-1',
  '#D55E00': '--series-2',
  '#009E73': '--series-3',
  '#AA4488': '--series-4',
  '#8A6D00': '--series-5',
  '#555577': '--series-6',
}
TEXT, FAINT, GRID = '#222222', '#767676', '#d3d6da'
_VARIABLES = {
  **COLORS,
  TEXT: '--ink',
  FAINT: '--faint',
  GRID: '--line',
}
_MARKERS = 'osD^vP'
_LINES = ('-', '--', '-.', (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2)))
_WIDTH, _HEIGHT = 5.2, 3.5  # inches; small, so that a phone shows readable text
_PNG_COLORS = 64  # enough for their soft edges
_STEP = 5  # points between series at the same place
_LOGARITHMIC = ('images', 'fraction')
_STYLE = {
  'font.size': 10.5,
  'font.family': 'DejaVu Sans',
  'text.color': TEXT,
  'axes.edgecolor': FAINT,
  'axes.labelcolor': TEXT,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.axisbelow': True,
  'axes.grid': True,
  'grid.color': GRID,
  'grid.linewidth': 0.7,
  'xtick.color': TEXT,
  'ytick.color': TEXT,
  'axes.facecolor': 'none',
  'figure.facecolor': 'none',
  'legend.frameon': False,
  'svg.fonttype': 'path',
  # Otherwise ids in the file are random: the same data, the same file.
  'svg.hashsalt': 'study',
}


class Trend(NamedTuple):
  """A law fitted to a series, to draw.

  Attributes:
    x: [N] places of the panel's axis.
    y: [N] the law there.
    forecast: (x, y, low, high) or None.
  """

  x: Sequence
  y: Sequence
  forecast: Optional[tuple] = None


def draw(
  panel: panels.Panel, trends: Sequence[Optional[Trend]] = ()
) -> figure.Figure:
  """Draws a panel: a curve over a numeric axis, else dots by category.

  Seeds are small open points, their mean is a large one, and the bar is its
  interval where the seeds tell one (Panel.interval).

  Args:
    panel: with at least one value.
    trends: one for each series, or none at all.

  Returns:
    The figure, for `svg` and `png`.
  """
  with matplotlib.rc_context(_STYLE):
    if panel.axis in panels.NUMERIC:
      return _curve(panel, trends or [None] * len(panel.series))
    return _dots(panel)


def svg(fig: figure.Figure, name: str, text: str) -> str:
  """Returns a figure as an <svg> element for a page.

  Args:
    fig: result of `draw`.
    name: prefix of all ids in it, other than those of the page's other plots.
    text: what it shows, for who cannot see it; safe in HTML.
  """
  with matplotlib.rc_context(_STYLE):
    out = io.StringIO()
    fig.savefig(out, format='svg', metadata={'Date': None})
  content = out.getvalue()
  content = content[content.index('<svg') :]
  content = re.sub(r'<metadata>.*?</metadata>\s*', '', content, flags=re.S)
  # A page needs no namespaces, and these look like addresses of the net.
  content = re.sub(r' xmlns(:\w+)?="[^"]*"', '', content)
  content = content.replace('xlink:href', 'href')
  content = re.sub(r'(\bid="|url\(#|href="#)', rf'\g<1>{name}-', content)
  for color, variable in _VARIABLES.items():
    content = re.sub(f'{color}\\b', f'var({variable})', content, flags=re.I)
  box = re.search(r'viewBox="[^"]*"', content).group()
  head = f'<svg role="img" aria-label="{text}" {box}>'
  return re.sub(r'<svg[^>]*>', lambda _: head, content, count=1).strip()


def png(fig: figure.Figure) -> bytes:
  """Returns a figure as a PNG file's content, on white.

  Of few colours, as it may be kept in a repository: a third of the bytes.
  """
  with matplotlib.rc_context(_STYLE):
    out = io.BytesIO()
    fig.savefig(out, format='png', dpi=160, facecolor='white')
  picture = Image.open(out).convert('RGB')
  small = io.BytesIO()
  picture.quantize(_PNG_COLORS, dither=Image.Dither.NONE).save(
    small, format='png', optimize=True
  )
  return small.getvalue()


def _curve(panel, trends):
  fig, axes = _figure(_HEIGHT)
  axes.set_ylabel(f'{panel.metric} ({panel.task})')
  axes.set_xlabel(_x_label(panel.axis))
  if panel.axis in _LOGARITHMIC:
    axes.set_xscale('log')
  for i, (series, trend) in enumerate(zip(panel.series, trends)):
    offset = _offset(fig, i, len(panel.series), across=False)
    color = _color(i)
    if trend:
      axes.plot(trend.x, trend.y, linestyle=_line(i), color=color, lw=1.4)
    _points(axes, panel, series, i, offset, trend is None)
    if series.reference:
      _level(axes, panel, series, i)
    if trend and trend.forecast:
      _forecast(axes, trend.forecast, color, offset)
  _name_forecasts(axes, [t.forecast for t in trends if t and t.forecast])
  _numeric_ticks(axes, panel, trends)
  _legend(fig, panel)
  return fig


def _points(axes, panel, series, i, offset, joined):
  cells = series.measured
  if not cells:
    return
  at = axes.transData + offset
  style = {'color': _color(i), 'transform': at}
  x = [c.place for c in cells]
  y = [c.mean for c in cells]
  for cell in cells:
    places = [cell.place] * len(cell.values)
    _seeds(axes, places, cell.values, _color(i), at)
  ends = [panel.interval(c) or (c.mean, c.mean) for c in cells]
  low, high = zip(*ends)
  _reach(axes, x * 2, [*low, *high])
  axes.vlines(x, low, high, lw=1.8, **style)
  if joined:
    axes.plot(x, y, linestyle=_line(i), lw=1.4, **style)
  axes.plot(
    x,
    y,
    linestyle='none',
    marker=_marker(i),
    ms=6,
    label=_label(series),
    **style,
  )


def _level(axes, panel, series, i):
  """Draws runs that the axis does not concern as a level."""
  cell = series.reference
  ends = panel.interval(cell)
  if ends:
    axes.axhspan(*ends, color=_color(i), alpha=0.15, lw=0)
  axes.axhline(
    cell.mean, linestyle=':', color=_color(i), lw=1.6, label=_label(series)
  )


def _forecast(axes, forecast, color, offset):
  x, y, low, high = forecast
  _reach(axes, [x, x], [low, high])
  at = axes.transData + offset
  axes.vlines([x], [low], [high], color=color, lw=1.8, transform=at)
  axes.plot([x], [y], 'D', ms=7, mfc='none', mec=color, mew=1.5, transform=at)


def _name_forecasts(axes, forecasts):
  if not forecasts:
    return
  x, y, *_ = max(forecasts, key=lambda f: f[1])
  axes.annotate(
    'forecast',
    (x, y),
    xytext=(-10, 6),
    textcoords='offset points',
    ha='right',
    va='bottom',
    fontsize=9,
    color=FAINT,
  )


def _dots(panel):
  places = list(
    dict.fromkeys(c.place for s in panel.series for c in s.measured)
  )
  rows = len(places) * max(1, 0.55 * len(panel.series))
  fig, axes = _figure(1.4 + 0.42 * rows)
  axes.set_xlabel(f'{panel.metric} ({panel.task})')
  for i, series in enumerate(panel.series):
    at = axes.transData + _offset(fig, i, len(panel.series), across=True)
    color = _color(i)
    for j, cell in enumerate(series.measured):
      y = places.index(cell.place)
      ends = panel.interval(cell)
      _seeds(axes, cell.values, [y] * len(cell.values), color, at)
      if ends:
        _reach(axes, ends, [y, y])
        axes.hlines([y], *ends, lw=1.8, color=color, transform=at)
      axes.plot(
        [cell.mean],
        [y],
        linestyle='none',
        marker=_marker(i),
        ms=7,
        color=color,
        transform=at,
        label=_label(series) if not j else None,
      )
  names = [panels.name(panel.axis, p) for p in places]
  axes.set_yticks(range(len(places)), [_broken(n) for n in names])
  axes.set_ylim(len(places) - 0.4, -0.6)
  axes.margins(x=0.1)
  axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
  axes.tick_params(axis='y', length=0)
  _legend(fig, panel)
  return fig


def _seeds(axes, x, y, color, at):
  _reach(axes, x, y)
  if len(x) > 1:
    axes.plot(
      x, y, 'o', ms=4, mfc='none', mec=color, alpha=0.6, mew=1, transform=at
    )


def _reach(axes, x, y):
  """Makes the axes hold points that are drawn moved apart."""
  axes.update_datalim(list(zip(x, y)))
  axes.autoscale_view()


def _figure(height):
  # Not pyplot: it keeps every figure and asks for a display.
  fig = figure.Figure(figsize=(_WIDTH, height), layout='constrained')
  return fig, fig.add_subplot()


def _offset(fig, i, count, across):
  """Moves series apart by points, whatever the axes' scales."""
  by = (i - (count - 1) / 2) * (2.2 * _STEP if across else _STEP) / 72
  xy = (0, -by) if across else (by, 0)
  return transforms.ScaledTranslation(*xy, fig.dpi_scale_trans)


def _numeric_ticks(axes, panel, trends):
  places = {c.place for s in panel.series for c in s.measured}
  places |= {t.forecast[0] for t in trends if t and t.forecast}
  if not places:
    axes.set_xticks([])
    return
  ticks = _apart(sorted(places), panel.axis in _LOGARITHMIC)
  axes.xaxis.set_major_locator(ticker.FixedLocator(ticks))
  axes.xaxis.set_minor_locator(ticker.NullLocator())
  axes.xaxis.set_major_formatter(
    ticker.FuncFormatter(lambda x, _: _tick(panel.axis, x))
  )
  axes.margins(x=0.1, y=0.12)


def _apart(places, logarithmic, least=0.1):
  """Drops places too near to the one before for both to have a label."""
  scaled = np.log(places) if logarithmic else np.array(places, float)
  width = max(scaled[-1] - scaled[0], 1e-9)
  kept = [len(places) - 1]  # the last one says most
  for i in range(len(places) - 2, -1, -1):
    if (scaled[kept[-1]] - scaled[i]) / width >= least:
      kept.append(i)
  return [places[i] for i in reversed(kept)]


def _tick(axis, value):
  if axis == 'images':
    return _thousands(value)
  if axis in ('fraction', 'noise'):
    return f'{100 * value:g}%'
  return f'{value:g}'


def _thousands(value):
  """1500 -> '1.5k', 2e6 -> '2M'."""
  for size, unit in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
    if value >= size:
      return f'{value / size:.3g}{unit}'
  return f'{value:g}'


def _x_label(axis):
  title = panels.AXIS_TITLES[axis]
  title = title[0].upper() + title[1:]
  return f'{title} (log scale)' if axis in _LOGARITHMIC else title


def _legend(fig, panel):
  if any(_label(s) for s in panel.series):
    # Above the plot, where it hides nothing.
    columns = 2 if len(panel.series) > 1 else 1
    fig.legend(loc='outside upper left', ncols=columns, fontsize=9.5)


def _label(series):
  return _shortened(series.label, 34) or None


def _broken(text):
  """Two short lines leave room for the plot."""
  text = text.replace('$', r'\$')
  return textwrap.fill(
    text, 20, max_lines=2, placeholder='…', break_on_hyphens=False
  )


def _shortened(text, most):
  # matplotlib would read $...$ as mathematics.
  text = text.replace('$', r'\$')
  return text if len(text) <= most else f'{text[: most - 1]}…'


def _color(i):
  return list(COLORS)[i % len(COLORS)]


def _marker(i):
  return _MARKERS[i % len(_MARKERS)]


def _line(i):
  return _LINES[i % len(_LINES)]
