"""The report of studies: report.html, report.md and its plots.

Each study shows what the paper found, whether it appears here and how surely,
the paper's table or figure beside the measured one, the laws fitted to the
numbers of images and what ten times more data would buy, the learning rates
chosen, what is missing, the versions, and the command behind each number.
"""

import collections
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Optional, Union

from official_repro.data.audit.tables import Table
from official_repro.scaling import (
  axes,
  claims,
  dropped,
  overview,
  page,
  panels,
  paper,
  plots,
  report_html,
  report_markdown,
  results,
  reuse,
  tables,
  trends,
)

HTML, MARKDOWN, CSV = 'report.html', 'report.md', 'results.csv'
_HOW = (
  "The paper's numbers are in percent, those measured here as metrics.jsonl "
  'has them, of the split that the command evaluates. Runs of another size '
  'than the paper compare in shape only.'
)
_CHOSEN = (
  'Chosen once, at one point of the study with a seed that is not reported, '
  'then fixed for all starts and sizes, fine-tuned or frozen, as in the paper.'
)
_SAME_PICTURES = (
  ' Of {} the choice was on the pictures of the results themselves, which may '
  'flatter that point; learning_rate.data of the spec names other ones.'
)
_SCATTER = (
  'Intervals of 90%: what other seeds, and with them other parts of the '
  'pre-training data, would change; not other pictures of the evaluation.'
)
_MANY = 12  # rows of a list that is shown on demand


def write_report(
  source: Union[str, os.PathLike, Sequence[results.Row]],
  specs: Iterable[Any] = (),
  output: Union[str, os.PathLike, None] = None,
) -> list[pathlib.Path]:
  """Writes the report of one study or of several.

  Args:
    source: a study's folder with results.csv, or rows; rows of several studies
      share a page.
    specs: spec_types.Spec of the studies, or anything with `name`, `title` and
      `paper`; a study without one is shown by its name, beside no exhibit.
    output: folder, made when absent; None: the study's. With rows it gets a
      results.csv, too.

  Returns:
    The files, report.html first.

  Raises:
    ValueError: there are no results, they cannot be read, or a spec's `paper`
      is unknown.
  """
  if isinstance(source, (str, os.PathLike)):
    folder = pathlib.Path(source)
    rows = results.read_csv(str(folder / CSV))
    output = pathlib.Path(output or folder)
    where = f'file {str(folder / CSV)!r} holds'
  else:
    folder, rows = None, list(source)
    if output is None:
      raise ValueError('write_report got rows and no output folder; give one.')
    output = pathlib.Path(output)
    where = 'the given rows hold'
  if not rows:
    raise ValueError(
      f'There is nothing to report, as {where} no run; run '
      'python -m official_repro.study.'
    )
  output.mkdir(parents=True, exist_ok=True)
  address = os.path.relpath(folder or output, output)
  address = pathlib.PurePath(address, CSV).as_posix()
  report = build(rows, specs, folder, address)
  if folder is None:
    results.write_csv(str(output / CSV), rows)
  return write(report, output)


def build(
  rows: Sequence[results.Row],
  specs: Iterable[Any] = (),
  folder: Optional[os.PathLike] = None,
  address: str = CSV,
) -> page.Page:
  """Puts the report together.

  Args:
    rows: of one study or of several, not empty.
    specs: see `write_report`.
    folder: from which the rows' model_dir may count.
    address: of results.csv, seen from the page.
  """
  known = {spec.name: spec for spec in specs}
  names = page.Names()
  studies = dict.fromkeys(r.study for r in rows)
  blocks = [page.Text(f'{paper.LEGEND} {paper.SOURCE}.', faint=True)]
  for name in studies:
    own = [r for r in rows if r.study == name]
    blocks += _study(name, own, known.get(name), names, folder)
  title = 'Scaling study'
  if len(studies) == 1:  # its title is the page's
    title = _title(known.get(name), name)
    blocks = [b for b in blocks if getattr(b, 'level', 0) != 2]
  return page.Page(title, blocks, address)


def _title(spec, name):
  return getattr(spec, 'title', None) or name


def _study(name, rows, spec, names, folder):
  key = getattr(spec, 'paper', None)
  exhibit = paper.find(key) if key else None
  found = panels.panels(rows, exhibit.axis if exhibit else None)
  fitted = [trends.fit(panel) for panel in found]
  heading = lambda text: page.Heading(3, text, names(name, text))
  return [
    page.Heading(2, _title(spec, name), names(name)),
    page.Tiles(_numbers(rows, found)),
    *_overview(found),
    *_found(rows, exhibit, heading),
    *_dropped(rows, folder, heading),
    *_beside(name, found, fitted, exhibit, names, heading),
    *_trends(found, fitted, heading),
    *_rates(rows, getattr(spec, 'choice', None), heading),
    *_missing(rows, heading),
    *_repeat(rows, folder, heading),
  ]


def _numbers(rows, found):
  counted = tables.counts(panels.shown(rows))
  seeds = {s for p in found for s in p.seeds()}
  return [
    (f'{counted.get("done", 0):,} of {sum(counted.values()):,}', 'runs done'),
    _count_seeds(seeds),
    (', '.join(dict.fromkeys(p.task for p in found)) or '-', 'tasks'),
  ]


def _count_seeds(seeds):
  """Returns (how many, which); a row of results.csv may have none."""
  named = sorted(s for s in seeds if s is not None)
  if not named:
    return ('1', 'run of each, no seed given') if seeds else ('-', 'seeds')
  word = 'seed' if len(named) == 1 else 'seeds'
  return str(len(named)), f'{word}: {", ".join(map(str, named))}'


def _overview(found):
  shown = overview.table(found)
  return [page.Tables([shown])] if shown else []


def _found(rows, exhibit, heading):
  asked = exhibit.claims if exhibit else ()
  if not asked:
    return []
  return [
    heading('What is found'),
    page.Findings(claims.find(rows, asked)),
    page.Text(
      'Differences are between runs with the same seed; their interval covers '
      'what another seed would change, on the same pictures of the evaluation. '
      'Clearly: the 90% interval at that place lies above 0.',
      faint=True,
    ),
  ]


def _dropped(rows, folder, heading):
  if not any(r.duplicates == axes.REMOVED for r in rows):
    return []
  found = dropped.read(folder) if folder else []
  told = [d.sentence for d in found] or [dropped.UNKNOWN]
  if found and not any(d.dropped for d in found):
    told.append(dropped.NOTHING)
  return [heading('What was dropped'), page.Text(' '.join(told))]


def _beside(study, found, fitted, exhibit, names, heading):
  shown = tables.measured([p for p in found if not overview.has_all(p)])
  title, blocks = 'Measured', []
  if exhibit:
    title = 'Beside the paper'
    blocks = [page.Text(f'{exhibit.title}. {_HOW}', faint=True)]
    if exhibit.rows:
      shown.insert(0, tables.from_paper(exhibit))
    else:
      blocks.append(page.Text(exhibit.note))
  drawn = [
    page.Plot(names(study, p.name), _draw(p, t), _caption(p))
    for p, t in zip(found, fitted)
    if any(c.values for s in p.series for c in s.cells)
  ]
  plotted = [page.Plots(drawn)] if drawn else []
  told = [page.Tables(shown)] if shown else []
  return [heading(title), *blocks, *plotted, *told]


def _draw(panel, fitted):
  shown = [
    plots.Trend(*t.curve(), t.point()) if t and t.comparison else None
    for t in fitted
  ]
  return plots.draw(panel, shown)


def _caption(panel):
  text = f'{panel.name} by {panels.AXIS_TITLES[panel.axis]}.'
  if not panel.spread[1]:
    each = ' each' if len(panel.seeds()) > 1 else ''
    return f'{text} One seed{each}, so no interval.'
  return (
    f'{text} Small points: seeds. Large: their mean, with its 90% interval '
    f'(scatter pooled over all points, {panel.spread[1]} degrees of freedom).'
  )


def _trends(found, fitted, heading):
  blocks = []
  for panel, row in zip(found, fitted):
    for trend in filter(None, row):
      label = ', '.join(filter(None, [panel.name, trend.series.label]))
      blocks.append(page.Text(f'{label}: {trend.sentence}'))
      if trend.comparison:
        told = trend.comparison.sentence
        laws = page.Tables([trends.table(trend)])
        blocks += [page.Text(told, faint=True), page.Fold('The laws', laws)]
  if not blocks:
    return []
  title = heading('Ten times more data')
  if all(t.one_seed for row in fitted for t in filter(None, row)):
    return [title, *blocks]  # each says what its interval is
  return [title, page.Text(_SCATTER, faint=True), *blocks]


def _rates(rows, choice, heading):
  tried = tables.learning_rates(rows)
  used = collections.defaultdict(dict)
  for row in panels.shown(rows):
    if row.learning_rate is not None:
      used[row.task][f'{row.learning_rate:g}'] = 0
  told = '; '.join(f'{task} {", ".join(v)}' for task, v in used.items())
  if not tried.rows and not told:
    return []
  text = f'Used in all runs: {told}.' if told else 'Used so far: none.'
  if not tried.rows:
    return [heading('Learning rate'), page.Text(text)]
  return [
    heading('Learning rate'),
    page.Text(f'{text} {_CHOSEN}{_not_held_out(choice)}'),
    page.Tables([tried]),
  ]


def _not_held_out(choice):
  """Names the tasks whose rates were tried on what is reported."""
  tasks = choice.tasks if choice else ()
  same = [name for name in tasks if name not in choice.data]
  return _SAME_PICTURES.format(', '.join(same)) if same else ''


def _missing(rows, heading):
  gone = tables.missing(rows)
  title = heading('What is missing')
  if not gone.rows:
    return [title, page.Text('Nothing: all runs are done.')]
  count = len(gone.rows)
  text = (
    f'{count} run{" has" if count == 1 else "s have"} no result and '
    f'{"is" if count == 1 else "are"} in no mean above.'
  )
  shown = page.Tables([gone])
  if count > _MANY:
    return [title, page.Text(text), page.Fold('The runs', shown)]
  return [title, page.Text(text), shown]


def _repeat(rows, folder, heading):
  commands = {}
  for row in rows:
    if row.command:
      commands.setdefault((row.run_id, row.command), []).append(row)
  shown = [
    (': '.join(filter(None, [run_id, _values(group)])), command)
    for (run_id, command), group in commands.items()
  ]
  blocks = [heading('To repeat it')]
  versions = _versions(rows, folder)
  if versions.rows:
    blocks.append(page.Tables([versions]))
  taken = reuse.sentences(folder) if folder else []
  if taken:
    text = f'Taken from other studies, not run again: {"; ".join(taken)}.'
    blocks.append(page.Text(text, faint=True))
  if shown:
    summary = f'The command of each number ({len(shown):,})'
    blocks.append(page.Fold(summary, page.Commands(shown)))
  return blocks if len(blocks) > 1 else []


def _values(group):
  return ', '.join(
    f'{r.metric} {r.value:.3f}' for r in group if panels.counts(r)
  )


def _versions(rows, folder):
  """Returns a table of what the runs were made with, by their run.json."""
  found = collections.Counter()
  for model_dir in dict.fromkeys(r.model_dir for r in rows if r.model_dir):
    entry = _run_file(model_dir, folder)
    if entry:
      versions = entry.get('versions') or {}
      text = ', '.join(f'{k} {v}' for k, v in sorted(versions.items()))
      devices = ', '.join(entry.get('devices') or ()) or '-'
      found[text or '-', entry.get('git_commit') or '-', devices] += 1
  lines = [(*what, str(count)) for what, count in found.most_common()]
  return Table(('versions', 'commit', 'devices', 'runs'), lines, '', (0, 1, 2))


def _run_file(model_dir, folder):
  for base in filter(None, [folder, '.']):
    path = pathlib.Path(base, model_dir, 'run.json')
    try:
      entry = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
      continue
    if isinstance(entry, dict):
      return entry
  return None


def write(
  report: page.Page, output: pathlib.Path, with_html: bool = True
) -> list[pathlib.Path]:
  """Writes report.html, report.md and its plots, each file whole or not at all.

  Args:
    report: result of `build`.
    output: folder, which is there.
    with_html: whether report.html is one of them.

  Returns:
    The files.
  """
  contents = {MARKDOWN: report_markdown.render(report).encode('utf-8')}
  if with_html:
    html = report_html.render(report).encode('utf-8')
    contents = {HTML: html, **contents}
  for block in report.blocks:
    if isinstance(block, page.Plots):
      contents.update(
        (f'{p.name}.png', plots.png(p.figure)) for p in block.plots
      )
  waiting = {name: output / f'.{name}.tmp' for name in contents}
  try:
    for name, content in contents.items():
      waiting[name].write_bytes(content)
    for name, path in waiting.items():
      os.replace(path, output / name)
  finally:
    for path in waiting.values():
      path.unlink(missing_ok=True)
  return [output / name for name in contents]
