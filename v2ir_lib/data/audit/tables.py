"""The audit's two Parquet tables: a row a record, and a row a link."""

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from v2ir_lib.data.audit.duplicates import Link
from v2ir_lib.data.audit.measure import Measured, Row
from v2ir_lib.data.audit.reasons import Finding
from v2ir_lib.files import atomic_path
from v2ir_lib.records import Record

TEXT, REAL, WHOLE = pyarrow.string(), pyarrow.float32(), pyarrow.int32()
ABSENT = Measured()


def write_table(
    path: str | Path, records: list[Record], rows: list[Row], findings: list[Finding], polarity: np.ndarray
) -> None:
    """A row a record, in their order: id, verdict, reasons, then what was measured; null where nothing was.

    reasons: `code: words; code: words`. codes: the codes alone, separated by semicolons. offset_x, offset_y: where the
    infrared picture lies on the visible one, right and down, in visible pixels; with the peak's correlation, clarity.
    border: left, top, right, bottom in pixels. phash: 16 hex digits.
    """
    columns = {
        "id": (TEXT, [record.id for record in records]),
        "verdict": (TEXT, [finding.verdict for finding in findings]),
        "reasons": (TEXT, [finding.text for finding in findings]),
        "codes": (TEXT, [";".join(dict.fromkeys(r.code for r in finding.reasons)) for finding in findings]),
        "dataset": (TEXT, [record.dataset for record in records]),
        "group": (TEXT, [record.group for record in records]),
        "split": (TEXT, [record.split for record in records]),
    }
    offsets = [row.offset for row in rows]
    for name, field in (
        ("offset_x", "x"),
        ("offset_y", "y"),
        ("offset_correlation", "correlation"),
        ("offset_clarity", "clarity"),
    ):
        columns[name] = REAL, [None if offset is None else getattr(offset, field) for offset in offsets]
    columns["polarity"] = REAL, [None if np.isnan(score) else float(score) for score in polarity]
    for name in ("visible", "infrared"):
        columns |= _picture_columns(name, [getattr(row, name) or ABSENT for row in rows])
    _write(path, columns)


def _picture_columns(name: str, pictures: list[Measured]) -> dict:
    def values(make):
        return [make(picture) if picture.readable else None for picture in pictures]

    return {
        f"{name}_width": (WHOLE, values(lambda p: p.width)),
        f"{name}_height": (WHOLE, values(lambda p: p.height)),
        f"{name}_mean": (REAL, values(lambda p: p.mean)),
        f"{name}_spread": (REAL, values(lambda p: p.spread)),
        f"{name}_colour": (REAL, values(lambda p: p.colour)),
        f"{name}_border": (TEXT, values(lambda p: ",".join(map(str, p.borders)))),
        f"{name}_phash": (TEXT, values(lambda p: f"{p.phash:016x}")),
        f"{name}_sha256": (TEXT, [picture.sha256 or None for picture in pictures]),
    }


def write_links(path: str | Path, records: list[Record], links: list[Link]) -> None:
    """A row a link: id_a, id_b, kind, distance (bits of pHash), correlation (of 32×24), and what is between: across."""
    pairs = [(records[link.a], records[link.b]) for link in links]
    columns = {
        "id_a": (TEXT, [a.id for a, _ in pairs]),
        "id_b": (TEXT, [b.id for _, b in pairs]),
        "kind": (TEXT, [link.kind for link in links]),
        "distance": (WHOLE, [link.distance for link in links]),
        "correlation": (REAL, [link.correlation for link in links]),
        "across": (TEXT, [link.across for link in links]),
    }
    _write(path, columns)


def _write(path: str | Path, columns: dict) -> None:
    schema = pyarrow.schema([(name, kind) for name, (kind, _) in columns.items()])
    table = pyarrow.table({name: values for name, (_, values) in columns.items()}, schema=schema)
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)
