"""What `v2ir translate` does: a picture or a folder of pictures in, infrared ones out, each with a note of how."""

import io
import math
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from v2ir_lib.diffusion.images import read_image
from v2ir_lib.diffusion.jobs import Job, image_seed, plan
from v2ir_lib.diffusion.settings import Sampling
from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, repo_root, write_json

if TYPE_CHECKING:
    from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline

MODEL = Path("models/tiny/diffv2ir")  # below the repository
MAX_STEPS = 1000  # the noise schedule has no more
SPREAD = "spread"  # NAME.spread.png
SPREAD_GREYS = 4  # grey levels of a spread map for one of standard deviation: 255 is 64 or more


@dataclass
class Summary:
    """What was done: paths as strings, times in seconds, memory in bytes (the process's highest so far)."""

    translated: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # outputs that were there already
    skipped: dict[str, str] = field(default_factory=dict)  # input → why it could not be read
    seconds: float = 0.0
    load_seconds: float = 0.0
    seconds_per_image: float | None = None  # loading not counted
    peak_memory_bytes: int | None = None

    @property
    def exit_code(self) -> int:
        """2 if any picture was skipped, else 0."""
        return 2 if self.skipped else 0

    def as_dict(self) -> dict:
        """For `--json`."""
        return asdict(self)


def translate_folder(
    input: str | Path,
    output: str | Path,
    *,
    model: str | Path | None = None,
    steps: int | None = None,
    s_text: float | None = None,
    s_visible: float | None = None,
    s_segments: float | None = None,
    seed: int = 0,
    prompt: str | None = None,
    batch_size: int = 1,
    device: str = "auto",
    overwrite: bool = False,
    seeds: int = 1,
    **sampling,
) -> Summary:
    """Translate INPUT, a picture or a folder with sub-folders, into OUTPUT, and write NAME.json beside each NAME.png.

    model: a pipeline folder, by default the shipped one, which also has the defaults of steps and scales. Each picture
    has its own seed, made of `seed` and its path below INPUT, so neither order nor subset changes it; at a fixed batch
    size, device and thread count the same call writes the same bytes. Outputs that exist are kept unless `overwrite`.
    A picture that cannot be read is named on stderr and skipped. `UserError` for everything that concerns the whole.

    `sampling` are fields of `settings.Sampling`; the defaults are the paper's. With several `seeds` NAME.png is the
    mean of as many translations, and NAME.spread.png their standard deviation, `SPREAD_GREYS` times in grey levels.
    """
    started = time.perf_counter()
    input, output, summary = Path(input), Path(output), Summary()
    _check_settings(steps, batch_size, seeds, s_text=s_text, s_visible=s_visible, s_segments=s_segments)
    how = Sampling(**sampling)
    jobs = plan(input, output)
    if seeds > 1:
        _check_spreads(jobs)
    todo = [job for job in jobs if overwrite or not job.target.exists()]
    summary.kept = [str(job.target) for job in jobs if not (overwrite or not job.target.exists())]
    _check_writable(output)
    if todo and input.is_file():
        read_image(input)  # the only picture: nothing to go on with, and no model to wait for
    if todo:
        from v2ir_lib.diffusion.components import to_device
        from v2ir_lib.diffusion.folders import component_folders, pipeline_hash
        from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
        from v2ir_lib.diffusion.sampling import SOLVERS

        place = to_device(device)
        folder = Path(model) if model is not None else repo_root() / MODEL
        _check_parts(folder, component_folders(folder), prompt)
        pipeline = DiffV2IRPipeline.from_pretrained(folder, device=place)
        given = {"s_text": s_text, "s_visible": s_visible, "s_segments": s_segments, "steps": steps}
        settings = {name: pipeline.config[name] if value is None else value for name, value in given.items()}
        note = {"model": str(folder), "model_sha256": pipeline_hash(folder), "seed": seed, **settings}
        note |= {"scheduler": SOLVERS[how.sampler].scheduler.__name__, "sampling": asdict(how)}
        note |= {"batch_size": batch_size, "device": str(place)}
        run = _Run(pipeline, prompt, seed, seeds, batch_size, settings | {"how": how}, note)
        summary.load_seconds = time.perf_counter() - started

        with tqdm(total=len(todo), unit="image", desc="translating") as bar, _plain_warnings():
            together = batch_size if seeds == 1 else 1  # else one picture's seeds are a batch
            for start in range(0, len(todo), together):
                _translate(run, todo[start : start + together], summary)
                bar.update(len(todo[start : start + together]))
    summary.seconds = time.perf_counter() - started
    if summary.translated:
        summary.seconds_per_image = (summary.seconds - summary.load_seconds) / len(summary.translated)
    summary.peak_memory_bytes = _peak_memory()
    return summary


@dataclass(frozen=True)
class _Run:
    """What all pictures of a call have in common."""

    pipeline: "DiffV2IRPipeline"
    prompt: str | None
    seed: int
    seeds: int
    batch_size: int
    settings: dict  # scales, steps, how: the pipeline's
    note: dict  # for every sidecar


def _translate(run: _Run, jobs: list[Job], summary: Summary) -> None:
    """One batch: read, translate, write."""
    readable, images = [], []
    for job in jobs:
        try:
            images.append(read_image(job.source))
            readable.append(job)
        except UserError as error:
            summary.skipped[str(job.source)] = str(error)
            tqdm.write(f"skipped: {error}", file=sys.stderr)
    if not readable:
        return
    made = _several(run, readable[0], images[0]) if run.seeds > 1 else _once(run, readable, images)
    for job, (pictures, record) in zip(readable, made, strict=True):
        _write(job, pictures, record)
        summary.translated.append(str(job.target))


def _once(run: _Run, jobs: list[Job], images: list) -> Iterator[tuple[dict, dict]]:
    """Each picture's files, by name of what they show, and its note."""
    seeds = [image_seed(run.seed, job.name) for job in jobs]
    done = run.pipeline(images, prompt=run.prompt, seed=seeds, batch_size=len(images), **run.settings)
    for i, job in enumerate(jobs):
        yield {"": done.images[i]}, _record(run, job, images[i], done, i)


def _several(run: _Run, job: Job, image) -> Iterator[tuple[dict, dict]]:
    """The same for one picture from several seeds: the first is the one that it would have alone."""
    from v2ir_lib.diffusion.translation import translate_seeds

    seeds = [image_seed(run.seed, job.name, number) for number in range(run.seeds)]
    found = translate_seeds(run.pipeline, image, seeds, prompt=run.prompt, batch_size=run.batch_size, **run.settings)
    grey = [
        Image.fromarray(np.rint(v.clip(0, 255)).astype(np.uint8)) for v in (found.mean, SPREAD_GREYS * found.deviation)
    ]
    record = _record(run, job, image, found.translations, 0)
    record |= {"image_seeds": seeds, "unet_evaluations": sum(found.translations.evaluations)}
    record |= {"spread": {"mean": round(float(found.deviation.mean()), 3), "greys_for_one": SPREAD_GREYS}}
    yield dict(zip(("", SPREAD), grey, strict=True)), record


def _record(run: _Run, job: Job, image, done, i: int) -> dict:
    working = run.pipeline.working_size(image, run.settings["how"])
    return {
        "source": job.name,
        "caption": done.captions[i],
        "prompt": done.prompts[i],
        "image_seed": done.seeds[i],
        "size": list(done.images[i].size),
        "working_size": [working[1], working[0]],
        "unet_evaluations": done.evaluations[i],
        **run.note,
    }


def _write(job: Job, pictures: dict, record: dict) -> None:
    """All files of a picture, renamed once all are written; the picture last: one that is there is complete."""
    note_path, encoded = job.target.with_suffix(".json"), {}
    for name, picture in pictures.items():
        encoded[name] = io.BytesIO()  # encoded in memory: an encoder that fails on a full disk hides why
        picture.save(encoded[name], format=_format(job.target))
    try:
        with ExitStack() as files:
            places = {name: files.enter_context(atomic_path(job.with_mark(name))) for name in encoded}
            write_json(files.enter_context(atomic_path(note_path)), record)
            for name, place in places.items():
                place.write_bytes(encoded[name].getvalue())
    except BaseException:
        if not job.target.exists():
            for path in (note_path, *(job.with_mark(name) for name in encoded)):
                path.unlink(missing_ok=True)
        raise


def _check_spreads(jobs: list[Job]) -> None:
    """`UserError` where a spread map would take the place of a picture."""
    taken = {path.resolve() for job in jobs for path in (job.source, job.target)}
    for job in jobs:
        if job.with_mark(SPREAD).resolve() in taken:
            raise UserError(
                f"{job.with_mark(SPREAD)} is a picture's own name: rename the picture, or leave --seeds out"
            )


def _check_settings(steps: int | None, batch_size: int, seeds: int, **scales: float | None) -> None:
    if steps is not None and not 2 <= steps <= MAX_STEPS:
        raise UserError(f"steps must be between 2 and {MAX_STEPS}, not {steps}")
    if batch_size < 1:
        raise UserError(f"the batch size must be at least 1, not {batch_size}")
    if seeds < 1:
        raise UserError(f"seeds must be at least 1, not {seeds}")
    for name, value in scales.items():
        if value is not None and not math.isfinite(value):
            raise UserError(f"{name.replace('_', '-')} must be a finite number, not {value}")


def _check_parts(folder: Path, parts: dict, prompt: str | None) -> None:
    """A converted checkpoint may have no captioner or segmenter: said before gigabytes are read."""
    if "captioner" not in parts and (prompt is None or "{caption}" in prompt):
        raise UserError(f"{folder} has no captioner: give the words by --prompt, or convert it again with --captioner")
    if "segmenter" not in parts:
        raise UserError(f"{folder} has no segmenter, whose map the UNet reads: convert it again with --segmenter")


def _check_writable(output: Path) -> None:
    """Before minutes of work: can anything be written there?"""
    place = output
    while not place.exists():
        place = place.parent
    if output.is_file():
        place = output.parent
    if not place.is_dir():
        raise UserError(f"cannot write {output}: {place} is a file, not a folder")
    if not os.access(place, os.W_OK):
        raise UserError(f"cannot write {output}: no permission to write in {place}")


def _format(target: Path) -> str:
    return Image.registered_extensions().get(target.suffix.lower(), "PNG")


class _plain_warnings(warnings.catch_warnings):
    """Warnings as one line each, above the progress bar."""

    def __enter__(self):
        super().__enter__()
        warnings.showwarning = lambda message, *_, **__: tqdm.write(f"warning: {message}", file=sys.stderr)


def _peak_memory() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
