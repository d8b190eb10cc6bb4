"""What is translated into what: pictures below INPUT, each with a name, a seed and an output of its own."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from v2ir_lib.diffusion.images import SUFFIXES
from v2ir_lib.errors import UserError


@dataclass(frozen=True)
class Job:
    """One picture: where it is, its name below INPUT, where its translation goes."""

    source: Path
    name: str
    target: Path

    def with_mark(self, mark: str) -> Path:
        """The target, or with a mark NAME.mark.png beside it."""
        return self.target.with_name(f"{self.target.stem}.{mark}{self.target.suffix}") if mark else self.target


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


def image_seed(seed: int, name: str, number: int = 0) -> int:
    """A picture's own seed, 48 bits, from the run's seed and the picture's name below INPUT; `number` of several."""
    told = f"{seed}/{name}" + (f"#{number}" if number else "")
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:6], "big")


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
