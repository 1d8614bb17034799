"""report.html: one page that needs no other file and no network."""

import base64
import html
import json
from collections.abc import Sequence

from official_repro.data.audit import plots as report_plots
from official_repro.data.audit import tables as report_tables
from official_repro.data.audit.findings import FEW, SOME

_MAX_SPLITS = 6  # with plots and lists of their own

_STYLE = """
:root { --ink: #222; --faint: #5f6670; --line: #d9dde2; --soft: #f5f7f9; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "DejaVu Sans", sans-serif; color: var(--ink); background: #fff;
  max-width: 68rem; margin: 0 auto; padding: 1rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 .2rem;
  overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .4rem; padding-top: .6rem;
  border-top: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.3rem 0 .3rem; }
p { margin: .3rem 0 .7rem; max-width: 46rem; }
.faint, .caption, figcaption, footer { color: var(--faint); font-size: .88rem; }
.tiles { display: grid; gap: .6rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); }
.tile { background: var(--soft); border: 1px solid var(--line);
  border-radius: .5rem; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.4rem; line-height: 1.25; }
.tile span { color: var(--faint); font-size: .85rem; display: block;
  line-height: 1.35; }
.scroll { overflow-x: auto; margin: .4rem 0 1rem; }
table { border-collapse: collapse; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line);
  text-align: right; vertical-align: top; }
td { white-space: nowrap; }
td.text { white-space: normal; min-width: 8.5rem; }
thead th { border-bottom: 2px solid #9aa3ad; vertical-align: bottom;
  line-height: 1.25; }
th.text, td.text { text-align: left; }
.caption { margin: .8rem 0 .2rem; }
.plots, .columns { display: grid; gap: .4rem 1.6rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.plots { max-width: 60rem; }
figure { margin: .4rem 0; }
figure img { width: 100%; height: auto; display: block; }
.sheet { display: grid; gap: .9rem .7rem;
  grid-template-columns: repeat(auto-fill, minmax(8.2rem, 1fr)); }
.sheet figure { margin: 0; min-width: 0; }
.sheet img { width: 100%; height: 8.2rem; object-fit: contain;
  background: var(--soft); border-radius: .3rem; }
.sheet figcaption { line-height: 1.3; margin-top: .25rem; color: var(--ink);
  overflow-wrap: anywhere; }
.sheet i { color: var(--faint); }
pre { background: var(--soft); padding: .7rem; overflow-x: auto;
  font-size: .85rem; }
details { margin: .5rem 0; }
summary { cursor: pointer; }
@media (max-width: 30rem) { th, td { padding: .25rem .45rem; }
  .tiles { grid-template-columns: 1fr 1fr; } .tile b { font-size: 1.15rem; } }
@media print { body { font-size: 10.5pt; max-width: none; padding: 0; }
  .scroll { overflow: visible; } h2, h3 { break-after: avoid; }
  tr, figure, .tile { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def render(report: dict, pictures: Sequence = ()) -> str:
  """Returns the page.

  Args:
    report: result of `audit.audit`.
    pictures: report.Picture of some records.
  """
  title = f'{report["name"] or "Data set"}: what is in it'
  splits, (main, _) = report['splits'], report_tables.main_split(report)
  parts = [
    f'<h1>{escape(title)}</h1>',
    '<p class="faint">Numbers with &dagger; are recalled from the paper '
    '(Sun et al. 2017, arXiv 1707.02968) and not confirmed against it.</p>',
    _tiles(report_tables.key_numbers(report)),
    '<h2>Splits</h2>',
    table(report_tables.splits(report)),
    '<h2>Beside the paper</h2>',
    table(report_tables.beside_paper(report)),
    *(
      _split(name, split, name == main)
      for name, split in list(splits.items())[:_MAX_SPLITS]
      if split['classes']['filled']['seen']
    ),
    _hierarchy(report),
    _noise(report['noise']),
    _sheet(pictures),
    '<h2>How it was made</h2>',
    f'<pre>{escape(json.dumps(report["info"], indent=2))}</pre>',
    '<footer>The same numbers for programs: report.json.</footer>',
  ]
  return _page(title, '\n'.join(p for p in parts if p))


def escape(value) -> str:
  """Returns text that is safe in HTML."""
  return html.escape(str(value))


def table(content: 'report_tables.Table') -> str:
  """Returns a table as HTML; '' where there are no rows."""
  if not content.rows:
    return ''
  kind = lambda i: ' class="text"' if i in content.text_columns else ''
  row = lambda tag, cells: (
    '<tr>'
    + ''.join(
      f'<{tag}{kind(i)}>{_cell(cell)}</{tag}>' for i, cell in enumerate(cells)
    )
    + '</tr>'
  )
  # Not a <caption>: on a phone that would be as wide as the table.
  caption = f'<p class="caption">{escape(content.caption)}</p>'
  head = f'<thead>{row("th", content.header)}</thead>\n'
  body = '\n'.join(row('td', cells) for cells in content.rows)
  return (
    f'{caption if content.caption else ""}<div class="scroll"><table>'
    f'{head if any(content.header) else ""}<tbody>{body}</tbody>'
    '</table></div>'
  )


def _cell(text):
  first, *rest = str(text).split('\n')
  notes = ''.join(f'<br><span class="faint">{escape(r)}</span>' for r in rest)
  return escape(first) + notes


def _page(title, body):
  return (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{escape(title)}</title>\n<style>{_STYLE}</style></head>\n'
    f'<body>\n{body}\n</body></html>\n'
  )


def _tiles(numbers):
  cells = (
    f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>'
    for value, what in numbers
  )
  return f'<div class="tiles">{"".join(cells)}</div>'


def _split(name, split, is_main):
  per_image, classes = split['labels_per_image'], split['classes']
  histogram = lambda kind: kind and kind['histogram']
  given_by_depth = [level['given'] for level in split['by_depth']]
  plots = [
    _plot(
      report_plots.label_frequency(
        classes['given'] and classes['given']['curve'],
        classes['filled']['curve'],
        (FEW, SOME),
      ),
      'How many pictures each category has. A straight fall is a long tail; '
      'fill-in lifts the inner categories.',
    ),
    _plot(
      report_plots.labels_per_image(
        histogram(per_image['given']), histogram(per_image['filled'])
      ),
      'How many labels a picture has, before and after the fill-in.',
    ),
  ]
  if split['labels_added']:
    plots.append(
      _plot(
        report_plots.labels_by_depth(
          given_by_depth, [level['added'] for level in split['by_depth']]
        ),
        'Which levels of the hierarchy the fill-in adds labels to.',
      )
    )
  levels = table(report_tables.by_depth(split)) if _has_levels(split) else ''
  return '\n'.join(
    [
      f'<h2>Labels of {escape(name)}</h2>',
      f'<div class="plots">{"".join(plots)}</div>',
      '<div class="columns">',
      f'<div>{table(report_tables.long_tail(split))}</div>',
      f'<div>{levels}</div>',
      '</div>',
      _redundant(split),
      f'<details{" open" if is_main else ""}>',
      '<summary>Most frequent and rarest categories</summary>',
      '<div class="columns">',
      f'<div>{table(report_tables.most_frequent(split))}</div>',
      f'<div>{table(report_tables.rarest(split))}</div>',
      '</div></details>',
    ]
  )


def _has_levels(split):
  return len(split['by_depth']) > 1


def _redundant(split):
  count = split['redundant_given']
  if count is None or not _has_levels(split):
    return ''
  total = split['labels_per_image']['given']['total']
  return (
    f'<p>Redundant given labels: {count:,} of {total:,}. Such a label is an '
    'ancestor of another given label of the same picture, so that the fill-in '
    'would have added it.</p>'
  )


def _hierarchy(report):
  space = report['hierarchy']
  parts = [
    '<h2>Label space</h2>',
    '<div class="columns">',
    f'<div>{table(report_tables.hierarchy(space))}</div>',
    f'<div>{table(report_tables.classes_by_depth(space))}</div>',
    '</div>',
  ]
  if space['flat']:
    parts.append('<p>The label space is flat: there is nothing to fill in.</p>')
  else:
    parts.append(
      _names('Orphans', space['orphans'], 'have neither parent nor child')
    )
  parts.append(
    _names(
      'Categories without a picture',
      report['unseen'],
      'are the label of no picture in any split, also after the fill-in',
    )
  )
  return '\n'.join(parts)


def _names(title, named, what):
  count, first = named['count'], named['first']
  sentence = f'{count:,} categories {what}.'
  if not count:
    return f'<p><b>{title}:</b> none.</p>'
  more = f' and {count - len(first):,} more' if count > len(first) else ''
  names = escape(', '.join(f'{name} ({c})' for c, name in first))
  return (
    f'<p><b>{title}:</b> {sentence}</p><details><summary>Names and ids'
    f'</summary><p>{names}{more}</p></details>'
  )


def _noise(noise):
  if not noise:
    return ''
  return '\n'.join(
    [
      '<h2>Noise of the labels</h2>',
      f'<p>{noise["pictures"]:,} pictures of {escape(noise["noisy_split"])} '
      f'are also in {escape(noise["clean_split"])}, with labels that are all '
      'true and complete. Precision is the share of the given labels that '
      'are true; recall is the share of the true labels that the filled-in '
      'ones hold. Intervals are 95% (Wilson), with labels of one picture '
      'taken together.</p>',
      table(report_tables.noise_in_all(noise)),
      '<div class="columns">',
      f'<div>{table(report_tables.noise_by_depth(noise))}</div>',
      f'<div>{table(report_tables.noise_worst(noise))}</div>',
      '</div>',
    ]
  )


def _plot(svg, text):
  return (
    f'<figure><img alt="{escape(text)}" src="{_data_uri("svg+xml", svg)}">'
    f'<figcaption>{escape(text)}</figcaption></figure>'
  )


def _sheet(pictures):
  if not pictures:
    return ''
  cells = []
  for picture in pictures:
    added = f' <i>+ {escape(", ".join(picture.added))}</i>'
    cells.append(
      f'<figure><img alt="" loading="lazy" '
      f'src="{_data_uri("jpeg", picture.jpeg)}"><figcaption>'
      f'{escape(", ".join(picture.given) or "no label")}'
      f'{added if picture.added else ""}'
      f'<br><span class="faint">{escape(picture.split)}: '
      f'{escape(picture.source_id)}</span></figcaption></figure>'
    )
  return (
    '<h2>Some pictures</h2>\n<p>Given labels, and in grey italics what the '
    f'fill-in added.</p>\n<div class="sheet">{"".join(cells)}</div>'
  )


def _data_uri(kind, data):
  data = data.encode('utf-8') if isinstance(data, str) else data
  return f'data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}'
