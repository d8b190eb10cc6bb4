"""Executed notebooks to look at: a page for each, and one index with thumbnails; pictures inside, no server."""

import base64
import html
import io
from pathlib import Path

import nbformat

from v2ir_lib.files import atomic_path

_THUMBNAIL = (450, 260)  # pixels, at most
_SHOWN = 6  # thumbnails of one notebook

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #667085; --line: #e3e6ec; --paper: #fff; --ground: #f5f6f9;
  --good: #12805c; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ee; --soft: #98a1b3; --line: #2c3444; --paper: #171c26;
  --ground: #0f131b; --good: #4cc38a; --bad: #ff8b80; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2.5rem 1.25rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 68rem; margin: auto; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
.facts { color: var(--soft); margin: 0 0 1.75rem; }
article { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.3rem;
  margin-bottom: 1.1rem; }
h2 { font-size: 1.1rem; margin: 0; }
h2 a { color: inherit; text-decoration: none; } h2 a:hover { text-decoration: underline; }
.badge { float: right; font-size: .85rem; font-weight: 600; } .ok { color: var(--good); }
.failed, .drifted { color: var(--bad); }
.small { color: var(--soft); font-size: .875rem; margin: .15rem 0 .6rem; } .small a { color: inherit; }
.error { color: var(--bad); font-family: ui-monospace, monospace; font-size: .875rem; overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: .6rem; }
.pictures img { display: block; max-height: 260px; max-width: 100%; border-radius: 6px;
  border: 1px solid var(--line); background: #fff; }
table { border-collapse: collapse; font-size: .875rem; margin-top: .7rem; }
td { border-top: 1px solid var(--line); padding: .2rem 1.2rem .2rem 0; vertical-align: top; overflow-wrap: anywhere; }
td + td { font-variant-numeric: tabular-nums; }
"""


def write_page(executed: Path) -> None:
    """Write NAME.html beside an executed NAME.ipynb, pictures inside."""
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_filename(str(executed))
    with atomic_path(executed.with_suffix(".html")) as temporary:
        temporary.write_text(page, encoding="utf-8")


def write_index(out: Path, outcomes: list, titles: dict[str, str], parameters: dict) -> None:
    """Write index.html: each notebook's outcome, time, memory, figures and thumbnails of its pictures."""
    passed = sum(outcome.ok for outcome in outcomes)
    settings = " · ".join(f"{key} = {value}" for key, value in parameters.items())
    total = sum(outcome.seconds for outcome in outcomes)
    articles = "\n".join(_article(out, outcome, titles.get(outcome.name, outcome.name)) for outcome in outcomes)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>DiffV2IR notebooks</title><style>{_STYLE}</style></head>
<body><main><h1>DiffV2IR, rebuilt step by step</h1>
<p class="facts">{passed} of {len(outcomes)} notebooks ran to their end · {html.escape(settings)} · {total:.0f} s</p>
{articles}
</main></body></html>
"""
    with atomic_path(out / "index.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def pictures_of(executed: Path) -> list[bytes]:
    """The PNG pictures that a notebook shows, in order."""
    if not executed.exists():
        return []
    outputs = [
        output.data["image/png"]
        for cell in nbformat.read(executed, as_version=4).cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    return [base64.b64decode(data) for data in outputs]


def _article(out: Path, outcome, title: str) -> str:
    pictures = pictures_of(out / f"{outcome.name}.ipynb")
    badge = outcome.status
    facts = (
        f"{outcome.seconds:.0f} s · {outcome.peak_memory / 2**30:.1f} GB at most · {_count(len(pictures), 'picture')}"
    )
    page, copy = f"{outcome.name}.html", f"{outcome.name}.ipynb"
    if (out / page).exists():
        title = f'<a href="{html.escape(page)}">{html.escape(title)}</a>'
        facts += f' · <a href="{html.escape(page)}">page</a> · <a href="{html.escape(copy)}">notebook</a>'
    else:
        title = html.escape(title)
    parts = [f'<span class="badge {badge}">{badge}</span><h2>{title}</h2><p class="small">{facts}</p>']
    if outcome.error:
        where = f"cell {outcome.cell}: " if outcome.cell else ""
        parts.append(f'<p class="error">{html.escape(where + outcome.error)}</p>')
    for drift in outcome.drifts or ():
        told = f"{drift.figure}{drift.place}: {drift.found}, expected {drift.expected} (tolerance {drift.tolerance})"
        parts.append(f'<p class="error">{html.escape(told)}</p>')
    if pictures:
        chosen = pictures[:_SHOWN]
        images = "".join(f'<img alt="picture {i + 1}" src="{_thumbnail(data)}">' for i, data in enumerate(chosen))
        parts.append(f'<div class="pictures">{images}</div>')
    if outcome.figures:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(_short(value))}</td></tr>"
            for name, value in outcome.figures.items()
        )
        parts.append(f"<table>{rows}</table>")
    return f"<article>{''.join(parts)}</article>"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _thumbnail(png: bytes) -> str:
    """A data URL of the picture, made small."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image.thumbnail((2 * _THUMBNAIL[0], 2 * _THUMBNAIL[1]))  # twice the shown size, for dense screens
    small = io.BytesIO()
    image.save(small, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(small.getvalue()).decode()
