"""One screen: what somebody wants to know of their own pairs before they train on them."""

from collections import Counter

import numpy as np

from v2ir_lib.data.audit.duplicates import Link
from v2ir_lib.data.audit.measure import Row
from v2ir_lib.data.audit.reasons import HEADINGS, NOTES, Finding
from v2ir_lib.data.audit.verdicts import offset_part
from v2ir_lib.records import Record


def summarise(
    records: list[Record], rows: list[Row], findings: list[Finding], polarity: np.ndarray, links: list[Link]
) -> dict:
    """Counts and figures as plain values, None where nothing was measured. Offsets are parts of the longer side."""
    verdicts = Counter(finding.verdict for finding in findings)
    codes = Counter(code for finding in findings for code in {reason.code for reason in finding.reasons})
    parts = np.array([offset_part(row) for row in rows])
    clear = parts[~np.isnan(parts)]
    between = Counter(link.across for link in links)
    return {
        "rows": len(records),
        "pairs": sum(row.visible is not None for row in rows),
        **{verdict: verdicts[verdict] for verdict in ("ok", "note", "bad")},
        "codes": {code: codes[code] for code in HEADINGS if codes[code]},
        "offset_measured": len(clear),
        "offset_median": _figure(np.median(clear)) if len(clear) else None,
        "offset_90th_percentile": _figure(np.percentile(clear, 90)) if len(clear) else None,
        "polarity_checked": int((~np.isnan(polarity)).sum()),
        "links": dict(sorted(Counter(link.kind for link in links).items())),
        "links_across_splits": between["split"],
        "links_across_datasets": between["dataset"],
        "links_across_groups": between["group"],
    }


def _figure(value: float) -> float:
    return round(float(value), 5)


def lines(summary: dict) -> list[str]:
    """The summary for people, a line a question."""
    codes = Counter(summary["codes"])
    pairs, rows = summary["pairs"], summary["rows"]
    result = [f"{rows} rows: {summary['ok']} ok, {summary['note']} with a note, {summary['bad']} bad and set aside"]

    def line(name: str, words: str) -> None:
        result.append(f"  {name:<11} {words}")

    line("files", _counts(codes, "missing", "unreadable", "truncated", "changed") or "all readable")
    line("sizes", _counts(codes, "size", "odd_size") or "fit")
    line(
        "content",
        _counts(codes, "black", "constant", "faint", "colour_mapped") or "nothing black, constant or coloured",
    )
    line("borders", _counts(codes, "border", "thin_border") or "none")
    if summary["offset_measured"]:
        measured = (
            f"measured on {summary['offset_measured']} of {pairs} pairs, half within "
            f"{100 * summary['offset_median']:.1f}% of the picture, nine in ten within "
            f"{100 * summary['offset_90th_percentile']:.1f}%"
        )
        line("alignment", "; ".join(filter(None, (measured, _counts(codes, "misaligned", "offset")))))
    else:
        line("alignment", "could not be measured on any pair")
    checked = f"{summary['polarity_checked']} of {rows} rows have a sequence to compare with"
    line("polarity", "; ".join(filter(None, (checked, _counts(codes, "inverted")))))
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in summary["links"].items())
    line("duplicates", "; ".join(filter(None, (kinds, _counts(codes, "duplicate", "near")))) or "none")
    leaks = [f"{summary[f'links_across_{what}']} links across {what}" for what in ("splits", "datasets", "groups")]
    line("leakage", "; ".join((", ".join(leaks), *filter(None, [_counts(codes, "leak", "other_group")]))))
    return result


def _counts(codes: Counter, *names: str) -> str:
    return ", ".join(
        f"{codes[name]} {name.replace('_', ' ')}{' (note)' if name in NOTES else ''}" for name in names if codes[name]
    )
