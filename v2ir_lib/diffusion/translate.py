"""What `v2ir translate` does: a picture or a folder of pictures in, infrared ones out, each with a note of how."""

import hashlib
import io
import math
import os
import sys
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from v2ir_lib.diffusion.images import SUFFIXES, read_image
from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, repo_root, write_json

MODEL = Path("models/tiny/diffv2ir")  # below the repository
MAX_STEPS = 1000  # the noise schedule has no more


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
) -> Summary:
    """Translate INPUT, a picture or a folder with sub-folders, into OUTPUT, and write NAME.json beside each NAME.png.

    model: a pipeline folder, by default the shipped one, which also has the defaults of steps and scales. Each picture
    has its own seed, made of `seed` and its path below INPUT, so neither order nor subset changes it; at a fixed batch
    size, device and thread count the same call writes the same bytes. Outputs that exist are kept unless `overwrite`.
    A picture that cannot be read is named on stderr and skipped. `UserError` for everything that concerns the whole.
    """
    started = time.perf_counter()
    input, output, summary = Path(input), Path(output), Summary()
    _check_settings(steps, batch_size, s_text=s_text, s_visible=s_visible, s_segments=s_segments)
    jobs = plan(input, output)
    todo = [job for job in jobs if overwrite or not job.target.exists()]
    summary.kept = [str(job.target) for job in jobs if not (overwrite or not job.target.exists())]
    _check_writable(output)
    if todo and input.is_file():
        read_image(input)  # the only picture: nothing to go on with, and no model to wait for
    if todo:
        from v2ir_lib.diffusion.components import to_device
        from v2ir_lib.diffusion.folders import component_folders, pipeline_hash
        from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline

        place = to_device(device)
        folder = Path(model) if model is not None else repo_root() / MODEL
        _check_parts(folder, component_folders(folder), prompt)
        pipeline = DiffV2IRPipeline.from_pretrained(folder, device=place)
        given = {"s_text": s_text, "s_visible": s_visible, "s_segments": s_segments, "steps": steps}
        settings = {name: pipeline.config[name] if value is None else value for name, value in given.items()}
        note = {"model": str(folder), "model_sha256": pipeline_hash(folder), "seed": seed, **settings}
        note |= {"scheduler": type(pipeline.scheduler).__name__, "batch_size": batch_size, "device": str(place)}
        summary.load_seconds = time.perf_counter() - started

        with tqdm(total=len(todo), unit="image", desc="translating") as bar, _plain_warnings():
            for start in range(0, len(todo), batch_size):
                _translate(pipeline, todo[start : start + batch_size], prompt, seed, settings, note, summary)
                bar.update(len(todo[start : start + batch_size]))
    summary.seconds = time.perf_counter() - started
    if summary.translated:
        summary.seconds_per_image = (summary.seconds - summary.load_seconds) / len(summary.translated)
    summary.peak_memory_bytes = _peak_memory()
    return summary


@dataclass(frozen=True)
class Job:
    """One picture: where it is, its name below INPUT, where its translation goes."""

    source: Path
    name: str
    target: Path


def plan(input: Path, output: Path) -> list[Job]:
    """All pictures below INPUT, in order of name, each with an output of its own; `UserError` where that cannot be.

    a.jpg and a.png beside each other become a.jpg.png and a.png.png. What lies in OUTPUT is never read.
    """
    if not input.exists():
        raise UserError(f"no such file or folder: {input}")
    if input.is_file():
        is_file = output.suffix.lower() in SUFFIXES and not output.is_dir()
        jobs = [Job(input, input.name, output if is_file else output / f"{input.stem}.png")]
    else:
        if output.exists() and not output.is_dir():
            raise UserError(f"{output} is a file, but {input} is a folder: give a folder to write to")
        if output.resolve() == input.resolve():
            raise UserError(f"the output folder is the input folder itself, {input}: choose another")
        sources = _pictures_below(input, output.resolve())
        if not sources:
            raise UserError(f"no pictures in {input} (looked for {' '.join(SUFFIXES)}, sub-folders too)")
        names = [source.relative_to(input) for source in sources]
        jobs = [
            Job(source, name.as_posix(), output / target)
            for source, name, target in zip(sources, names, _distinct(names), strict=True)
        ]
    inputs = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target.resolve() in inputs:
            raise UserError(f"{job.target} is one of the inputs and would be overwritten: choose another output")
    return jobs


def image_seed(seed: int, name: str) -> int:
    """A picture's own seed, 48 bits, from the run's seed and the picture's name below INPUT."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:6], "big")


def _translate(pipeline, jobs: list[Job], prompt, seed: int, settings: dict, note: dict, summary: Summary) -> None:
    """One batch: read, translate, write. Both files are renamed once both are written.

    The sidecar comes first: a picture that is there is complete.
    """
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
    seeds = [image_seed(seed, job.name) for job in readable]
    done = pipeline(images, prompt=prompt, seed=seeds, batch_size=len(images), **settings)
    for i, job in enumerate(readable):
        working = pipeline.working_size(images[i])
        record = {
            "source": job.name,
            "caption": done.captions[i],
            "prompt": done.prompts[i],
            "image_seed": seeds[i],
            "size": list(done.images[i].size),
            "working_size": [working[1], working[0]],
            **note,
        }
        buffer = io.BytesIO()  # encoded in memory: an encoder that fails on a full disk hides why
        done.images[i].save(buffer, format=_format(job.target))
        note_path = job.target.with_suffix(".json")
        try:
            with atomic_path(job.target) as picture, atomic_path(note_path) as sidecar:
                write_json(sidecar, record)
                picture.write_bytes(buffer.getvalue())
        except BaseException:
            if not job.target.exists():
                note_path.unlink(missing_ok=True)
            raise
        summary.translated.append(str(job.target))


def _pictures_below(folder: Path, output: Path) -> list[Path]:
    found = []
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(d for d in folders if not d.startswith(".") and (Path(here) / d).resolve() != output)
        found += [Path(here) / name for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)


def _distinct(names: list[Path]) -> list[Path]:
    """Output names, .png, that differ even where upper and lower case do not; clashing ones keep their old suffix."""
    targets = [name.with_suffix(".png") for name in names]
    while True:
        counts: dict[str, int] = {}
        for target in targets:
            counts[str(target).lower()] = counts.get(str(target).lower(), 0) + 1
        clashing = [i for i, target in enumerate(targets) if counts[str(target).lower()] > 1]
        if not clashing:
            return targets
        longer = [names[i].with_name(names[i].name + ".png") for i in clashing]
        if all(targets[i] == target for i, target in zip(clashing, longer, strict=True)):
            raise UserError(f"{names[clashing[0]]} and {names[clashing[1]]} differ in case only: rename one of them")
        for i, target in zip(clashing, longer, strict=True):
            targets[i] = target


def _check_settings(steps: int | None, batch_size: int, **scales: float | None) -> None:
    if steps is not None and not 2 <= steps <= MAX_STEPS:
        raise UserError(f"steps must be between 2 and {MAX_STEPS}, not {steps}")
    if batch_size < 1:
        raise UserError(f"the batch size must be at least 1, not {batch_size}")
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
    from PIL import Image

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
