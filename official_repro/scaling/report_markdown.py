"""report.md: the same report for a README or an issue; plots are files."""

import itertools
import re

from official_repro.scaling import page

# What Markdown reads as form rather than as text.
_SPECIAL = re.compile(r'([\\`*_{}\[\]<>#|~$])')


def render(report: page.Page) -> str:
  """Returns the report; its plots are NAME.png beside it."""
  blocks = [f'# {escape(report.title)}', *map(_block, report.blocks)]
  # In <>, as a folder's name may hold blanks.
  link = f'[{report.results.rpartition("/")[2]}](<{report.results}>)'
  blocks.append(f'The same numbers for programs: {link}.')
  return '\n\n'.join(b for b in blocks if b) + '\n'


def escape(text) -> str:
  """Returns text that Markdown shows as it is, on one line."""
  return _SPECIAL.sub(r'\\\1', ' '.join(str(text).split()))


def _block(block):
  return _RENDERERS[type(block)](block)


def _heading(block):
  return f'{"#" * block.level} {escape(block.text)}'


def _text(block):
  return escape(block.text)


def _tiles(block):
  return '\n'.join(
    f'- {escape(what)}: **{escape(value)}**' for value, what in block.numbers
  )


def _findings(block):
  lines = []
  for claim, found in itertools.groupby(block.findings, lambda f: f.claim):
    lines.append(f'- {escape(page.claim_title(claim))}.')
    for f in found:
      where = f'{f.task}, {f.metric}' if f.task else ''
      said = f'**{f.verdict}**: {escape(f.evidence)}.'
      lines.append(f'  - {": ".join(filter(None, [escape(where), said]))}')
  return '\n'.join(lines)


def _tables(block):
  return '\n\n'.join(_table(t) for t in block.tables if t.rows)


def _table(table):
  kinds = [
    '---' if i in table.text_columns else '---:'
    for i in range(len(table.header))
  ]
  head, *rows = (map(_cell, cells) for cells in (table.header, *table.rows))
  lines = [f'| {" | ".join(cells)} |' for cells in (head, kinds, *rows)]
  parts = [escape(table.caption)] if table.caption else []
  return '\n\n'.join([*parts, '\n'.join(lines)])


def _cell(text):
  return '<br>'.join(escape(line) for line in str(text).split('\n'))


def _plots(block):
  # The words in brackets show only where the picture does not.
  return '\n\n'.join(
    f'![{escape(p.caption)}]({p.name}.png)\n\n*{escape(p.caption)}*'
    for p in block.plots
  )


def _commands(block):
  lines = (f'# {what}\n{command}' for what, command in block.commands)
  return '```\n{}\n```'.format('\n'.join(lines))


def _fold(block):
  return (
    f'<details><summary>{escape(block.summary)}</summary>\n\n'
    f'{_block(block.block)}\n\n</details>'
  )


_RENDERERS = {
  page.Heading: _heading,
  page.Text: _text,
  page.Tiles: _tiles,
  page.Findings: _findings,
  page.Tables: _tables,
  page.Plots: _plots,
  page.Commands: _commands,
  page.Fold: _fold,
}
