"""The style sheet of every page, for light and dark mode, phone, wide screen and paper, with system fonts."""

from __future__ import annotations

COLOURS = """
:root {
  color-scheme: light dark;
  --ink: #17202b; --muted: #566373; --rule: #d5dbe3; --surface: #ffffff; --page: #f3f5f8; --band: #e4e9f0;
  --series-1: #1c62c9; --series-2: #bf4a0a; --series-3: #08795a; --series-4: #7b3fc4;
  --warn: #8a5300; --warn-surface: #fff6e3; --bad: #a8191f; --bad-surface: #fdeeee; --good: #08795a;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ink: #e8edf3; --muted: #a3b0bf; --rule: #36414e; --surface: #171d25; --page: #0e1319; --band: #26303b;
    --series-1: #6cabff; --series-2: #ffa063; --series-3: #4fcfa4; --series-4: #c3a2ff;
    --warn: #f3c46b; --warn-surface: #2b2415; --bad: #ff9a96; --bad-surface: #331a1c; --good: #4fcfa4;
  }
}
"""
CSS = (
    COLOURS
    + """\
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
main, body > header, body > footer { max-width: 72rem; margin: 0 auto; padding: 0 1rem; }
body > header { padding-top: 2rem; }
body > footer { margin-top: 2rem; padding-bottom: 2rem; color: var(--muted); font-size: 0.875rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0.25rem 0; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.5rem 0 0.75rem; }
h3 { font-size: 1rem; margin: 0 0 0.5rem; }
p { margin: 0.5rem 0; }
.muted, figcaption, caption { color: var(--muted); }
.card { background: var(--surface); border: 1px solid var(--rule); border-radius: 0.5rem; padding: 1rem; min-width: 0; }
.grid {
  display: grid; gap: 1rem; align-items: start; grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr));
}
.grid + .packed { margin-top: 1rem; }
.packed { columns: 20rem; column-gap: 1rem; }
.packed .card { break-inside: avoid; margin-bottom: 1rem; }
.packed .card.long { break-inside: auto; -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.status { font-weight: 600; white-space: nowrap; }
.status.complete { color: var(--good); }
.status.failed, .status.incomplete { color: var(--bad); }
.hero { display: grid; gap: 1rem 2rem; margin-top: 1rem; }
.headline { margin: 0; font-size: 3.25rem; font-weight: 700; line-height: 1.1; font-variant-numeric: tabular-nums; }
.interval { margin: 0.25rem 0 0.75rem; font-size: 1.125rem; font-variant-numeric: tabular-nums; }
.headline .unit { font-size: 1.5rem; font-weight: 500; }
dl.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.25rem 1rem; margin: 0; }
dl.facts dt { color: var(--muted); }
dl.facts dd { margin: 0; }
.note { border-left: 0.25rem solid var(--warn); background: var(--warn-surface); }
.note.bad { border-left-color: var(--bad); background: var(--bad-surface); }
.note ul { margin: 0; padding-left: 1.25rem; }
.contents { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; list-style: none; margin: 1rem 0 0; padding: 0; }
.contents a { display: inline-block; padding: 0.25rem 0; }
.tall { grid-row: span 2; }
.plots .tall { grid-row: span 3; }
.wide { grid-column: 1 / -1; }
.verdict { font-weight: 600; white-space: nowrap; }
.verdict.ok { color: var(--good); }
.verdict.warning, .verdict.ignored { color: var(--warn); }
.verdict.error { color: var(--bad); }
.checks th, .checks td { width: auto; }
.checks th code { white-space: normal; }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.triple { display: grid; grid-template-columns: repeat(3, 1fr); gap: 0.25rem; font-size: 0.8125rem; }
.triple figcaption { grid-column: 1 / -1; margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: 0.25rem; }
figure { margin: 0; }
figcaption { font-size: 0.875rem; margin-top: 0.5rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: inherit !important; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.25rem; }
th, td { text-align: left; vertical-align: top; padding: 0.375rem 0.75rem 0.375rem 0; }
tr + tr, tbody { border-top: 1px solid var(--rule); }
th { font-weight: 500; color: var(--muted); }
tbody th { width: 38%; }
td:last-child, th:last-child { padding-right: 0; }
th code { white-space: nowrap; }
thead th { white-space: nowrap; }
.figures th, .figures td { width: auto; white-space: nowrap; }
.number { text-align: right; }
.trends { grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.trends h3 { margin-bottom: 0; }
.trends p { font-size: 0.875rem; margin-top: 0; }
.sortable th:first-child { min-width: 11rem; white-space: normal; color: var(--ink); }
.sortable td:last-child:not(.number) { min-width: 14rem; white-space: normal; }
.sortable .muted { font-weight: 400; font-size: 0.8125rem; }
.sortable button { font: inherit; color: inherit; background: none; border: 0; padding: 0.25rem 0; cursor: pointer; }
.sortable thead th:has(button)::after { content: "\\2195"; opacity: 0.35; padding-left: 0.25em; }
.sortable thead th[aria-sort]::after { opacity: 1; }
.sortable thead th[aria-sort=ascending]::after { content: "\\2191"; }
.sortable thead th[aria-sort=descending]::after { content: "\\2193"; }
code, pre {
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.8125rem;
}
pre { white-space: pre-wrap; margin: 0.5rem 0 1rem; padding: 0.75rem; background: var(--page); border-radius: 0.25rem; }
pre span { display: inline-block; max-width: 100%; }
a { color: var(--series-1); }
@media (min-width: 48rem) {
  .hero { grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); align-items: center; }
  .headline { font-size: 4rem; }
}
@page { margin: 15mm; }
@media print {
  body { background: none; font-size: 10pt; }
  main, body > header, body > footer { max-width: none; padding: 0; }
  .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .trends { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .hero { grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); }
  .contents, .sortable thead th::after { display: none; }
  .scroll { overflow: visible; }
  table, dl.facts, .muted, .sortable .muted, .trends p, figcaption { font-size: 8pt; }
  .figures th, .figures td { white-space: normal; overflow-wrap: normal; padding-right: 0.5rem; }
  figure, tr, .plots .card, .trends .card { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  h2 { margin-top: 1.5rem; }
}
"""
)
