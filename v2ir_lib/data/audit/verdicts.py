"""From measurements to findings: what is wrong with each row by itself, with its sequence, and with its data set.

The thresholds of alignment come from 310 real pairs and 300 simulated ones. Their own offsets are below 1.1% of the
longer side in all but 4 clear or unclear cases; shifted by 2.5 to 4.4%, 98% are found at the clarity below, and one
real pair is found unshifted (MSRS 00681N, 8 pixels of 320 at night, people close to the cameras).
"""

from collections import Counter, defaultdict

import numpy as np

from v2ir_lib.data.audit.checks import AVIID_COLOUR, BLACK, CONSTANT, FAINT, FINGERPRINT
from v2ir_lib.data.audit.measure import Measured, Row, same_shape
from v2ir_lib.data.audit.polarity import INVERTED, REFLECTED, polarity_scores
from v2ir_lib.data.audit.reasons import Finding
from v2ir_lib.records import Record

MISALIGNED, SLIGHTLY = 0.02, 0.01  # of the longer side of the visible picture
CLEAR_CORRELATION, CLEAR = 0.12, 1.15  # of the alignment's peak
WIDE_BORDER = 0.01  # of the side; thinner ones are noted
MAJORITY = 0.6  # of a data set's rows that agree
ENOUGH_ROWS = 8  # to speak of a majority


def judge_rows(records: list[Record], rows: list[Row]) -> tuple[list[Finding], np.ndarray]:
    """Findings without those about duplicates, and the polarity scores (n,), NaN where nobody could vote."""
    findings = [Finding() for _ in rows]
    for record, row, finding in zip(records, rows, findings, strict=True):
        for name, measured in (("visible", row.visible), ("infrared", row.infrared)):
            if measured is not None:
                _judge_picture(name, measured, getattr(record, f"{name}_sha256"), finding)
        if row.infrared.readable and row.infrared.colour > AVIID_COLOUR:
            words = f"infrared channels differ by {row.infrared.colour:.0f} grey levels, more than {AVIID_COLOUR}"
            finding.add("colour_mapped", words, row.infrared.colour)
        _judge_offset(row, finding)
    _judge_sizes(records, rows, findings)
    return findings, _judge_polarity(records, rows, findings)


def _judge_picture(name: str, measured: Measured, sha256: str, finding: Finding) -> None:
    if not measured.readable:
        finding.add(measured.error_code, f"{name}, {measured.error}")
        return
    if sha256 and sha256 != measured.sha256:
        finding.add("changed", f"{name} is not the file that was imported")
    if measured.spread <= CONSTANT:
        extreme = measured.mean <= BLACK or measured.mean >= 255 - BLACK
        code = "black" if extreme else "constant"
        finding.add(code, f"{name} is nearly all of grey level {measured.mean:.0f}", 255 - measured.mean)
    elif measured.spread <= FAINT:
        finding.add("faint", f"{name} spans {measured.spread:.0f} grey levels", -measured.spread)
    if any(measured.borders):
        width, height = measured.width, measured.height
        part = max(line / (width, height)[i % 2] for i, line in enumerate(measured.borders))
        tone = "black" if measured.border_grey < 128 else "white"
        words = f"{name} has {tone} edges, left {{}} top {{}} right {{}} bottom {{}} pixels".format(*measured.borders)
        finding.add("border" if part >= WIDE_BORDER else "thin_border", words, part)


def offset_part(row: Row) -> float:
    """The offset as a part of the visible picture's longer side; NaN where there is none, or its peak is unclear."""
    offset = row.offset
    if offset is None or offset.clarity < CLEAR or offset.correlation < CLEAR_CORRELATION:
        return float("nan")
    return float(np.hypot(offset.x, offset.y) / max(row.visible.width, row.visible.height))


def _judge_offset(row: Row, finding: Finding) -> None:
    part = offset_part(row)
    if part >= SLIGHTLY:  # false for NaN
        across = f"{abs(row.offset.x):.0f} px {'right' if row.offset.x > 0 else 'left'}"
        down = f"{abs(row.offset.y):.0f} px {'down' if row.offset.y > 0 else 'up'}"
        words = f"infrared lies {across} and {down}, {100 * part:.1f}% of the picture"
        finding.add("misaligned" if part >= MISALIGNED else "offset", words, part)


def _judge_sizes(records: list[Record], rows: list[Row], findings: list[Finding]) -> None:
    """Shapes must agree within a pair; the scale between the two, and the sizes, are compared with the data set's."""
    by_set = defaultdict(list)
    for i, (record, row) in enumerate(zip(records, rows, strict=True)):
        if row.visible is None or row.visible.readable:
            if row.infrared.readable:
                by_set[record.dataset, record.camera, row.visible is None].append(i)
    for (_, _, alone), members in by_set.items():
        scales = {} if alone else {i: _scale(rows[i]) for i in members}
        usual_scale = _majority(scales.values())
        sizes = {i: _size(rows[i]) for i in members}
        usual_size = _majority(sizes.values())
        for i in members:
            visible, infrared = rows[i].visible, rows[i].infrared
            told = "" if alone else f"visible is {visible.width}×{visible.height}, infrared "
            told += f"{'infrared ' if alone else ''}{infrared.width}×{infrared.height}"
            if not alone and not same_shape(visible, infrared):
                findings[i].add("size", told + ", another shape", abs(np.log(_ratio(visible) / _ratio(infrared))))
            elif usual_scale is not None and scales[i] != usual_scale:
                findings[i].add("size", told + f", elsewhere the scale between them is {usual_scale:g}", 0.01)
            elif usual_scale is None and len(members) < ENOUGH_ROWS and scales.get(i, 1.0) != 1.0:
                findings[i].add("odd_size", told)
            elif usual_size is not None and sizes[i] != usual_size:
                findings[i].add("odd_size", told + ", unlike most of the data set")


def _ratio(picture: Measured) -> float:
    return picture.width / picture.height


def _scale(row: Row) -> float:
    """Visible width to infrared width, to two figures after the point: rounding of a pixel is no other scale."""
    return round(row.visible.width / row.infrared.width, 2)


def _size(row: Row) -> tuple[int, ...]:
    visible = row.visible or row.infrared
    return visible.width, visible.height, row.infrared.width, row.infrared.height


def _majority(values):
    counts = Counter(values)
    if sum(counts.values()) < ENOUGH_ROWS:
        return None
    value, count = counts.most_common(1)[0]
    return value if count >= MAJORITY * sum(counts.values()) else None


def _judge_polarity(records: list[Record], rows: list[Row], findings: list[Finding]) -> np.ndarray:
    """Rows of one group and one kind of band, in the order of their frames."""
    order = sorted(range(len(records)), key=lambda i: (records[i].group, records[i].frame, i))
    usable = np.array([_contrast(rows[i].infrared) and _contrast(rows[i].visible, absent=True) for i in order], bool)
    groups = [f"{records[i].dataset}\0{records[i].group}\0{records[i].band in REFLECTED}" for i in order]
    visible = fingerprints([rows[i].visible or rows[i].infrared for i in order])
    infrared = fingerprints([rows[i].infrared for i in order])
    skewness = np.array([rows[i].skewness for i in order], np.float32)
    scores = np.full(len(rows), np.nan, np.float32)
    scores[order] = polarity_scores(groups, visible, infrared, skewness, usable)
    for i in np.flatnonzero(scores < INVERTED):
        words = f"agrees with the group's other frames by {scores[i]:.2f}, less than {INVERTED:g}"
        findings[i].add("inverted", words, -float(scores[i]))
    return scores


def _contrast(picture: Measured | None, absent: bool = False) -> bool:
    return absent if picture is None else picture.readable and picture.spread > FAINT


def fingerprints(pictures: list[Measured | None]) -> np.ndarray:
    """Those of the pictures, uint8 (n, 24, 32); nought for one that could not be read."""
    width, height = FINGERPRINT
    result = np.zeros((len(pictures), height * width), np.uint8)
    for i, picture in enumerate(pictures):
        if picture is not None and picture.fingerprint:
            result[i] = np.frombuffer(picture.fingerprint, np.uint8)
    return result.reshape(-1, height, width)
