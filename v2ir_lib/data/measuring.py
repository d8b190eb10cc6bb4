"""Opening every picture of an import once, on all cores, and putting the grey ranges of sequences together."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from v2ir_lib.data.layout import Row
from v2ir_lib.data.reading import Measured, grey_range, measure

CHUNK = 128  # rows a worker takes at a time
FEW = 2000  # rows below which starting processes costs more than it saves


class RowMeasured(NamedTuple):
    """What is in a row's two files; `visible` is None where the infrared picture is alone."""

    visible: Measured | None
    infrared: Measured


class _Task(NamedTuple):
    rows: list[Row]
    hashed: bool
    sequences: frozenset[str]  # groups whose histograms are wanted


def measure_rows(
    rows: Sequence[Row], *, hashed: bool = True, by_sequence: bool = False, workers: int | None = None
) -> list[RowMeasured]:
    """Measure every row, in order, with a progress bar. by_sequence: deep pictures of a group get one grey range.

    workers: processes; by default one for each core, or none where the rows are few.
    """
    counts = Counter(row.group for row in rows) if by_sequence else Counter()
    sequences = frozenset(group for group, count in counts.items() if count > 1)
    tasks = _tasks(rows, hashed, sequences)
    workers = workers or (1 if len(rows) < FEW else os.cpu_count() or 1)
    result, merged, left, ranges = [], {}, counts, {}
    with tqdm(total=len(rows), desc="reading", unit="row") as bar:
        for task_rows, (measured, histograms) in zip(_batches(rows), _run(tasks, workers), strict=True):
            result.extend(measured)
            for group, histogram in histograms.items():
                merged[group] = merged[group] + histogram if group in merged else histogram
            left.subtract(row.group for row in task_rows if by_sequence)
            for group in [group for group in merged if not left[group]]:  # a histogram is half a megabyte
                ranges[group] = grey_range(merged.pop(group))
            bar.update(len(measured))
    ranges |= {group: grey_range(histogram) for group, histogram in merged.items()}
    return [_with_range(found, ranges.get(row.group)) for row, found in zip(rows, result, strict=True)]


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while batch := list(islice(waiting, CHUNK)):
        yield batch


def _tasks(rows: Sequence[Row], hashed: bool, sequences: frozenset[str]) -> Iterator[_Task]:
    for batch in _batches(rows):
        yield _Task(batch, hashed, sequences & {row.group for row in batch})


def _run(tasks: Iterator[_Task], workers: int) -> Iterator[tuple[list[RowMeasured], dict[str, np.ndarray]]]:
    if workers == 1:
        yield from map(_measure_task, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_measure_task, tasks)


def _measure_task(task: _Task) -> tuple[list[RowMeasured], dict[str, np.ndarray]]:
    measured, histograms = [], {}
    for row in task.rows:
        visible = measure(row.visible, hashed=task.hashed)[0] if row.visible else None
        infrared, histogram = measure(row.infrared, hashed=task.hashed, deep=True)
        measured.append(RowMeasured(visible, infrared))
        if histogram is not None and row.group in task.sequences:
            histograms[row.group] = histograms.get(row.group, 0) + histogram
    return measured, histograms


def _with_range(found: RowMeasured, known: tuple[float, float] | None) -> RowMeasured:
    if known is None or found.infrared.bits <= 8:
        return found
    return found._replace(infrared=found.infrared._replace(low=known[0], high=known[1]))
