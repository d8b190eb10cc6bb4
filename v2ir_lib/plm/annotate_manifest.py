"""What `v2ir annotate` does: captions and segment maps for all visible pictures of a manifest, over many processes.

The work is shared out by pictures, a few at a time, to processes that each hold both models: on a CPU one thread each,
on GPUs one process a device. Each finished picture is a file (`plm.annotator`), so a run that was stopped, by whatever
means, goes on where it was. `captions.parquet`, the manifest and `report.json` are written at the end.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

import torch
from tqdm.auto import tqdm

from v2ir_lib.diffusion.components import to_device
from v2ir_lib.diffusion.full import find_part
from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, write_json
from v2ir_lib.plm.annotator import Annotator, Outcome, Settings, begin, work
from v2ir_lib.profiles import Profile
from v2ir_lib.records import Record, read_manifest, rebased, write_manifest
from v2ir_lib.vlum.segments import RENDERINGS

CHUNK = 4  # pictures that a process is given at a time: few, so that a stopped run loses little
PARTS = ("captioner", "segmenter")
NAMED = 10  # ids in a line for people; the report has all


@dataclass
class Summary:
    """What was done: ids, in the order of the manifest."""

    annotated: int = 0
    kept: int = 0  # were there already
    without_visible: int = 0  # infrared alone: nothing to read
    skipped: dict[str, str] = field(default_factory=dict)  # id → why
    empty_captions: list[str] = field(default_factory=list)
    empty_maps: list[str] = field(default_factory=list)  # SAM found no mask
    settings: dict = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """2 if any picture was skipped, else 0."""
        return 2 if self.skipped else 0

    def as_dict(self) -> dict:
        """For `--json` and report.json."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        said = [f"{self.annotated} rows annotated, {self.kept} were there, {len(self.skipped)} skipped"]
        if self.without_visible:
            said.append(f"{self.without_visible} rows have no visible picture")
        for name, ids in (("captions", self.empty_captions), ("segment maps", self.empty_maps)):
            said.append(f"{len(ids)} empty {name}" + (f": {_listed(ids)}" if ids else ""))
        return said


def annotate_manifest(
    manifest: str | Path,
    out: str | Path,
    profile: Profile,
    *,
    models: str | Path | None = None,
    workers: int | None = None,
    rendering: str = "regions",
    device: str = "auto",
    nucleus: float | None = None,
    seed: int = 0,
) -> Summary:
    """Annotate every row of a manifest that has a visible picture, into the folder `out`.

    Written: segments/<id>.png; captions.parquet (id, caption); manifest.csv or .parquet, with captions filled in, paths
    from `out`, and without the rows whose picture cannot be read; report.json. `models` is a folder with "captioner"
    and "segmenter", by default the profile's own (`diffusion.full`). `workers`: processes, by default one a GPU, or
    one a CPU core. A picture whose file, models and settings are those of an annotation that is there is not read by
    them again, nor is one that several rows share. A bad picture is named on stderr and skipped. `UserError` for
    everything that concerns the whole.
    """
    manifest, out = Path(manifest), Path(out)
    _check(rendering, workers, nucleus)
    target = out / f"manifest{'.parquet' if manifest.suffix == '.parquet' else '.csv'}"
    if target.resolve() == manifest.resolve():
        raise UserError(f"{target} is the manifest itself and would be overwritten: choose another --out")
    records = read_manifest(manifest)
    todo = [record for record in records if record.visible]
    if not todo:
        raise UserError(f"{manifest} has no row with a visible picture: there is nothing to annotate")
    _check_ids(todo)
    given = None if models is None else {part: Path(models) / part for part in PARTS}
    places = {part: find_part(profile, part, given) for part in PARTS}
    settings = Settings(profile, **places, rendering=rendering, nucleus=nucleus, seed=seed if nucleus else 0)
    annotator = Annotator(settings, settings.key(), manifest.parent, out)
    shared: dict[tuple[str, str], list[Record]] = {}  # one picture may stand in a row for each infrared camera
    for record in todo:
        shared.setdefault((record.visible, record.crop), []).append(record)
    rows = list(shared.values())
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    seats = devices(device, workers)[: len(chunks)]

    found: dict[str, Outcome] = {}
    counts = dict(kept=0, skipped=0, empty=0)
    with tqdm(total=len(todo), desc="annotating", unit="row") as bar:
        for outcome in _outcomes(chunks, annotator, seats):
            found[outcome.id] = outcome
            if outcome.status == "skipped":
                tqdm.write(f"skipped {outcome.id}: {outcome.reason}", file=sys.stderr)
            counts["kept"] += outcome.status == "kept"
            counts["skipped"] += outcome.status == "skipped"
            counts["empty"] += outcome.status != "skipped" and not (outcome.caption and outcome.masks)
            bar.set_postfix(counts, refresh=False)
            bar.update()
    summary = _summary([found[record.id] for record in todo], len(records) - len(todo), settings, annotator.key)
    _write(out, target, manifest.parent, records, found)
    write_json(out / "report.json", summary.as_dict())
    return summary


def devices(device: str, workers: int | None) -> list[str]:
    """The device of each worker process: "cuda" or "auto" spreads them over all GPUs, "cuda:1" and "cpu" do not."""
    place = to_device(device)
    if place.type == "cuda" and place.index is None:
        every = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        return [every[number % len(every)] for number in range(workers or len(every))]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [str(place)] * (workers or (cores if place.type == "cpu" else 1))


def _outcomes(chunks: list[list[list[Record]]], annotator: Annotator, places: list[str]) -> Iterator[Outcome]:
    """The outcome of every record, in the order in which they are done."""
    if len(places) == 1:
        here = replace(annotator, device=places[0])
        for chunk in chunks:
            for records in chunk:
                yield from here.annotate(records)
        return
    context = get_context("spawn")
    free = context.Queue()
    for place in places:
        free.put(place)
    with ProcessPoolExecutor(len(places), context, begin, (annotator, free)) as pool:
        running: set = set()
        try:
            for chunk in chunks:
                running.add(pool.submit(work, chunk))
                if len(running) >= 3 * len(places):  # enough that none waits, few enough for any manifest
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for job in done:
                        yield from job.result()
            for job in running:
                yield from job.result()
        except BrokenProcessPool:
            raise UserError(
                "a worker process died, perhaps for want of memory: run again with fewer --workers, it goes on"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)  # what runs ends its few pictures


def _summary(outcomes: list[Outcome], without: int, settings: Settings, key: str) -> Summary:
    read = [one for one in outcomes if one.status != "skipped"]
    how = {name: getattr(settings, name) for name in ("rendering", "nucleus", "seed")}
    how |= {"profile": settings.profile.name, **{part: str(getattr(settings, part)) for part in PARTS}}
    return Summary(
        annotated=sum(one.status == "done" for one in read),
        kept=sum(one.status == "kept" for one in read),
        without_visible=without,
        skipped={one.id: one.reason for one in outcomes if one.status == "skipped"},
        empty_captions=[one.id for one in read if not one.caption],
        empty_maps=[one.id for one in read if not one.masks],
        settings=how | {"fingerprint": key},
    )


def _write(out: Path, target: Path, folder: Path, records: list[Record], found: dict[str, Outcome]) -> None:
    """captions.parquet and the manifest with captions."""
    import pyarrow
    import pyarrow.parquet

    read = [found[record.id] for record in records if record.id in found and found[record.id].status != "skipped"]
    columns = {"id": [one.id for one in read], "caption": [one.caption for one in read]}
    schema = pyarrow.schema([(name, pyarrow.string()) for name in columns])
    with atomic_path(out / "captions.parquet") as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), temporary)
    rows = []
    for record in records:
        outcome = found.get(record.id)
        if outcome is not None and outcome.status == "skipped":
            continue
        rows.append(replace(record, caption=outcome.caption) if outcome else record)
    write_manifest(target, rebased(rows, folder, out))


def _check(rendering: str, workers: int | None, nucleus: float | None) -> None:
    if rendering not in RENDERINGS:
        raise UserError(f"unknown rendering {rendering!r}: choose one of {', '.join(RENDERINGS)}")
    if workers is not None and workers < 1:
        raise UserError(f"--workers is {workers}: it must be at least 1")
    if nucleus is not None and not 0 < nucleus <= 1:
        raise UserError(f"--nucleus is {nucleus:g}: it is a probability, above 0 and at most 1 (the paper's: 0.9)")


def _check_ids(records: list[Record]) -> None:
    """Ids become names of files: inside the folder, and different where upper and lower case are not."""
    seen: dict[str, str] = {}
    for record in records:
        path = PurePosixPath(record.id)
        if path.is_absolute() or {"..", ".", ""} & set(record.id.split("/")) or set(record.id) & set("\\:\0\n"):
            raise UserError(f"the id {record.id!r} cannot be the name of a file: rename it in the manifest")
        other = seen.setdefault(record.id.lower(), record.id)
        if other != record.id:
            raise UserError(f"the ids {other} and {record.id} differ in case only: rename one of them")


def _listed(ids: list[str]) -> str:
    return ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
