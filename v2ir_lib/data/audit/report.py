"""The audit for people: one HTML file that needs nothing else, with the worst of each kind as small pictures."""

import base64
import html
import io
from pathlib import Path

from PIL import Image

from v2ir_lib.data.audit.checks import Unusable, decode, read_file
from v2ir_lib.data.audit.reasons import HEADINGS, NOTES, Finding, Reason
from v2ir_lib.data.audit.summary import lines
from v2ir_lib.files import atomic_path
from v2ir_lib.records import Record

WORST = 8  # of each kind
THUMBNAIL = (176, 132)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 78em; padding: 0 1em; color: #222 }
pre { background: #f4f4f2; padding: 1em; overflow-x: auto }
h2 { margin: 1.6em 0 .2em; font-size: 1.15em } h2 small { font-weight: normal; color: #666 }
.row { display: inline-block; vertical-align: top; width: 364px; margin: .6em 1em .6em 0 }
.row img { max-width: 176px; margin: 0 4px 0 0; background: #ddd }
.row p { margin: .2em 0; font-size: .85em; overflow-wrap: anywhere } .none { color: #a00 }
"""


def write_report(
    path: str | Path, records: list[Record], folder: str | Path, findings: list[Finding], summary: dict
) -> None:
    """Write the report: the summary, then for each code the `WORST` rows; a duplicate with what it repeats below it."""
    by_code: dict[str, list[tuple[int, Reason]]] = {code: [] for code in HEADINGS}
    for row, finding in enumerate(findings):
        for code in {reason.code for reason in finding.reasons}:
            worst = max((r for r in finding.reasons if r.code == code), key=lambda reason: reason.severity)
            by_code[code].append((row, worst))
    parts = [f"<h1>Audit of {summary['rows']} rows</h1>", f"<pre>{html.escape(chr(10).join(lines(summary)))}</pre>"]
    for code, found in by_code.items():
        if found:
            found.sort(key=lambda item: -item[1].severity)
            parts.append(_section(code, found, records, Path(folder)))
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Audit</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _section(code: str, found: list[tuple[int, Reason]], records: list[Record], folder: Path) -> str:
    effect = "note" if code in NOTES else "set aside"
    shown = f", the worst {WORST}" if len(found) > WORST else ""
    title = f"<h2>{HEADINGS[code]} <small><code>{code}</code> · {len(found)} rows{shown} · {effect}</small></h2>"
    boxes = []
    for row, reason in found[:WORST]:
        pictures = _pair(records[row], folder)
        if reason.other >= 0:
            pictures += "<br>" + _pair(records[reason.other], folder)
        words = html.escape(f"{records[row].id}: {reason.words}")
        boxes.append(f'<div class="row">{pictures}<p>{words}</p></div>')
    return title + "\n" + "\n".join(boxes)


def _pair(record: Record, folder: Path) -> str:
    names = [name for name in (record.visible, record.infrared) if name]
    return "".join(_thumbnail(folder / name, record.crop) for name in names)


def _thumbnail(path: Path, crop: str) -> str:
    """A data URI; the picture as it is, colours too. What cannot be read is said."""
    try:
        content = read_file(str(path))
        grey, colour = decode(content, crop)
        image = Image.open(io.BytesIO(content)).convert("RGB") if colour and not crop else Image.fromarray(grey)
    except Unusable as error:
        return f'<span class="none">{html.escape(str(error))}</span> '
    image.thumbnail(THUMBNAIL)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=70)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'
