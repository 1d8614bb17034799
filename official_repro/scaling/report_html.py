"""report.html: one page that needs no other file and no network."""

import itertools

from official_repro.data.audit.html import escape, table
from official_repro.scaling import claims, page, plots

_VERDICTS = {
  claims.FOUND: 'found',
  claims.IN_PART: 'part',
  claims.NOT_FOUND: 'absent',
  claims.OPEN: 'open',
}
_LONG = 20  # characters of a tile that takes the room of two
_NARROW = 3  # columns of a table that has another one beside it
_WIDE = ' class="wide"'
_DARK = """--ink: #e8eaed; --faint: #a5adb6; --line: #3a4048; --soft: #20252b;
  --paper: #14171a; --rule: #6b747e; --good: #5fd0a5; --bad: #ff9a5c;
  --series-1: #58b4f0; --series-2: #ff8b4a; --series-3: #35c795;
  --series-4: #e58ac4; --series-5: #dcbf4d; --series-6: #a9a9d6;"""
_LIGHT = '--ink: #222; --faint: #5f6670; --line: #d9dde2; --soft: #f5f7f9;\n'
_LIGHT += '  --paper: #fff; --rule: #9aa3ad; --good: #00664b; --bad: #a34600;\n'
_LIGHT += '\n'.join(f'  {name}: {c};' for c, name in plots.COLORS.items())
_STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
"""
_STYLE += """
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "DejaVu Sans", sans-serif; color: var(--ink); background: var(--paper);
  max-width: 68rem; margin: 0 auto; padding: 1rem 1rem 3rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 .4rem; }
h2 { font-size: 1.35rem; margin: 2.2rem 0 .4rem; padding-top: .6rem;
  border-top: 2px solid var(--line); }
h3 { font-size: 1.08rem; margin: 1.6rem 0 .3rem; }
p { margin: .3rem 0 .7rem; max-width: 46rem; }
a { color: var(--series-1); }
.faint, .caption, figcaption, footer { color: var(--faint); font-size: .88rem; }
nav ul { padding-left: 1.1rem; margin: .3rem 0; }
.tiles { display: grid; gap: .6rem; margin: .8rem 0;
  grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }
.tile { background: var(--soft); border: 1px solid var(--line);
  border-radius: .5rem; padding: .5rem .8rem; }
.tile b { display: block; font-size: 1.3rem; line-height: 1.25; }
.tile.long { grid-column: span 2; } .tile.long b { font-size: 1rem; }
.tile span { color: var(--faint); font-size: .85rem; display: block; }
.claim { margin: .6rem 0; padding: .2rem 0 .2rem .8rem; max-width: 50rem;
  border-left: 3px solid var(--line); }
.claim p { margin: .1rem 0; }
.claim ul { margin: .2rem 0; padding-left: 1.1rem; }
.found { color: var(--good); } .absent { color: var(--bad); }
.part, .open { color: var(--faint); }
.scroll { overflow-x: auto; margin: .3rem 0 1rem; }
table { border-collapse: collapse; font-size: .92rem; overflow-wrap: normal;
  font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line);
  text-align: right; vertical-align: top; }
td { white-space: nowrap; }
td.text { white-space: normal; min-width: 8.5rem; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid var(--rule); vertical-align: bottom;
  line-height: 1.25; }
th.text, td.text { text-align: left; }
.caption { margin: .6rem 0 .2rem; }
.columns { display: grid; gap: .2rem 2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
.columns > * { min-width: 0; }
.wide { grid-column: 1 / -1; }
figure { margin: .6rem 0; max-width: 34rem; }
figure svg { width: 100%; height: auto; display: block; }
.command { margin: .7rem 0; }
pre { background: var(--soft); padding: .5rem .7rem; margin: .15rem 0;
  font-size: .82rem; white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin: .5rem 0; }
summary { cursor: pointer; }
@media (max-width: 30rem) { th, td { padding: .25rem .4rem; }
  .tiles { grid-template-columns: 1fr 1fr; } .tile b { font-size: 1.1rem; } }
@media print { body { font-size: 10.5pt; max-width: none; padding: 0; }
  .scroll { overflow: visible; } h2, h3 { break-after: avoid; }
  tr, figure, .tile, .claim { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def render(report: page.Page) -> str:
  """Returns the page."""
  title = escape(report.title)
  body = '\n'.join(_block(b) for b in report.blocks)
  address = escape(report.results)
  return (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{title}</title>\n<style>{_STYLE}</style></head>\n'
    f'<body>\n<h1>{title}</h1>\n{_contents(report.studies)}{body}\n'
    '<footer>The same numbers for programs: '
    f'<a href="{address}">{address}</a>.</footer>\n</body></html>\n'
  )


def _contents(studies):
  if len(studies) < 2:
    return ''
  items = ''.join(
    f'<li><a href="#{h.anchor}">{escape(h.text)}</a></li>' for h in studies
  )
  return f'<nav><ul>{items}</ul></nav>\n'


def _block(block):
  return _RENDERERS[type(block)](block)


def _heading(block):
  tag = f'h{block.level}'
  return f'<{tag} id="{block.anchor}">{escape(block.text)}</{tag}>'


def _text(block):
  kind = ' class="faint"' if block.faint else ''
  return f'<p{kind}>{escape(block.text)}</p>'


def _tiles(block):
  cells = (
    f'<div class="tile{" long" * (len(value) > _LONG)}"><b>{escape(value)}</b>'
    f'<span>{escape(what)}</span></div>'
    for value, what in block.numbers
  )
  return f'<div class="tiles">{"".join(cells)}</div>'


def _findings(block):
  groups = itertools.groupby(block.findings, key=lambda f: f.claim)
  return '\n'.join(_claim(claim, list(found)) for claim, found in groups)


def _claim(claim, found):
  items = ''.join(
    f'<li>{escape(f"{f.task}, {f.metric}: ") if f.task else ""}'
    f'<b class="{_VERDICTS[f.verdict]}">{escape(f.verdict)}</b>: '
    f'{escape(f.evidence)}.</li>'
    for f in found
  )
  title = escape(page.claim_title(claim))
  return f'<div class="claim"><p>{title}.</p><ul>{items}</ul></div>'


def _tables(block):
  if len(block.tables) == 1:
    return table(block.tables[0])
  return _columns(
    f'<div{_WIDE if len(t.header) > _NARROW else ""}>{table(t)}</div>'
    for t in block.tables
  )


def _plots(block):
  return _columns(
    f'<figure>{plots.svg(p.figure, p.name, escape(p.caption))}'
    f'<figcaption>{escape(p.caption)}</figcaption></figure>'
    for p in block.plots
  )


def _columns(parts):
  return f'<div class="columns">{"".join(parts)}</div>'


def _commands(block):
  return '\n'.join(
    f'<div class="command"><span class="faint">{escape(what)}</span>'
    f'<pre>{escape(command)}</pre></div>'
    for what, command in block.commands
  )


def _fold(block):
  return (
    f'<details><summary>{escape(block.summary)}</summary>\n'
    f'{_block(block.block)}</details>'
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
