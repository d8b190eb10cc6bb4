"""Two folders of pictures, matched by name, and what a manifest or a third folder knows of each pair."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from v2ir_lib.data.audit.checks import AVIID_COLOUR, channel_difference
from v2ir_lib.data.reading import cropped, read_infrared, read_visible
from v2ir_lib.diffusion.images import SUFFIXES, resize
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.baselines import grey
from v2ir_lib.metrics.pixel import SSIM_WINDOW
from v2ir_lib.records import Record, read_manifest
from v2ir_lib.world.captions import attributes_of

FEW = 3  # names in a message
SAME_SHAPE = 0.02  # relative difference of two pictures' proportions, beyond which they show different views


@dataclass(frozen=True)
class Item:
    """One translation and its truth. `record` holds the truth's path and whatever else is known, paths absolute."""

    name: str  # path below the folder, without suffix
    prediction: Path
    record: Record

    @property
    def time(self) -> str:
        """day, dusk, night: as the manifest says, or its caption; "" where neither does."""
        return self.record.time or attributes_of(self.record.caption).get("time", "")


@dataclass(frozen=True)
class Pictures:
    """One item's arrays, all (H, W), uint8.

    luma is None without a visible picture, or with one of other proportions: it shows another view. classes is None
    without a mask.
    """

    picture: np.ndarray
    truth: np.ndarray
    luma: np.ndarray | None
    classes: np.ndarray | None


def match(
    predictions: str | Path,
    references: str | Path,
    manifest: str | Path | None = None,
    visible: str | Path | None = None,
) -> list[Item]:
    """One item for each name that both folders have, in order of name; two single files are one item.

    Names are paths below the folder without suffix. With a manifest each reference is a row of it (by its file, by its
    id, or by the file's name); without, each picture is a scene of its own. `visible`: a folder of the same names, or a
    file, in place of the manifest's. `UserError` where a folder is missing or empty, a name is missing on one side or
    has several files, or the manifest has no row for it.
    """
    ours, truth = pictures_in(predictions), pictures_in(references)
    single = len(ours) == len(truth) == 1 and Path(predictions).is_file() and Path(references).is_file()
    if single:
        ours = {next(iter(truth)): next(iter(ours.values()))}
    _same_names(ours, truth, predictions, references)
    rows = _Rows(manifest) if manifest is not None else None
    records = {
        name: Record(name, name, "", str(path.absolute())) if rows is None else rows.of(name, path)
        for name, path in truth.items()
    }
    if rows is not None:
        rows.check(records)
    if visible is not None:
        seen = pictures_in(visible)
        if single and len(seen) == 1 and Path(visible).is_file():
            seen = {next(iter(truth)): next(iter(seen.values()))}
        if missing := sorted(truth.keys() - seen.keys()):
            raise UserError(f"{visible} has no picture for {_few(missing)}, which {references} has")
        records = {name: replace(record, visible=str(seen[name].absolute())) for name, record in records.items()}
    return [Item(name, ours[name], records[name]) for name in sorted(truth)]


def pictures_in(folder: str | Path) -> dict[str, Path]:
    """Name → file of every picture in a folder and its sub-folders, or of one file. `UserError` as in `match`."""
    folder = Path(folder)
    if folder.is_file():
        return {folder.stem: folder}
    if not folder.is_dir():
        raise UserError(f"no such folder: {folder}")
    found: dict[str, Path] = {}
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            path = Path(here, file)
            if file.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise UserError(f"{folder} has {found[name].name} and {file}: names must differ without their suffix")
            found[name] = path
    if not found:
        raise UserError(f"no pictures in {folder} (looked for {' '.join(SUFFIXES)}, sub-folders too)")
    return found


def read(item: Item) -> Pictures:
    """The arrays of an item. `UserError`, naming the file: unreadable, coloured, of another size, too small."""
    record = item.record
    truth = _grey(record)
    box = record.crop if _size(item.prediction) == _size(record.infrared) else ""  # translated whole, or the part alone
    picture = _grey(replace(record, infrared=str(item.prediction.absolute()), crop=box))
    if picture.shape != truth.shape:
        raise UserError(
            f"{item.prediction} is {_by(picture)} pixels and {record.infrared} is {_by(truth)}: make them of one size"
        )
    if min(truth.shape) <= SSIM_WINDOW:
        raise UserError(f"{record.infrared} is {_by(truth)} pixels: SSIM needs more than {SSIM_WINDOW} a side")
    luma = classes = None
    if record.visible:
        seen = read_visible(record)
        if np.isclose(seen.shape[0] / seen.shape[1], truth.shape[0] / truth.shape[1], rtol=SAME_SHAPE):
            luma = grey([resize(seen, *truth.shape)])[0]
    if record.classes:
        classes = _classes(record, truth.shape)
    return Pictures(picture, truth, luma, classes)


class _Rows:
    """A manifest's rows by the file, the id and the name of their infrared picture."""

    def __init__(self, manifest: str | Path):
        self.path, self.missing, self.several = Path(manifest), [], []
        self.by_file, self.by_id, self.by_name = defaultdict(list), defaultdict(list), defaultdict(list)
        for record in read_manifest(manifest):
            paths = {
                key: os.path.abspath(self.path.parent / getattr(record, key)) if getattr(record, key) else ""
                for key in ("visible", "infrared", "classes")
            }
            record = replace(record, **paths)
            self.by_file[os.path.realpath(record.infrared) if record.infrared else ""].append(record)
            self.by_id[record.id].append(record)
            self.by_name[Path(record.infrared).stem].append(record)

    def of(self, name: str, path: Path) -> Record:
        """The row of a reference, with that file as its infrared picture; problems are kept for `check`."""
        found = self.by_file.get(os.path.realpath(path)) or self.by_id.get(name) or self.by_name.get(path.stem) or []
        if len(found) != 1:
            (self.several if found else self.missing).append(name)
            return Record(name, name, "", str(path))
        return replace(found[0], infrared=str(path.absolute()))

    def check(self, records: Iterable) -> None:
        if self.missing:
            raise UserError(f"{self.path} has no row for {_few(self.missing)}: give the manifest of these pictures")
        if self.several:
            raise UserError(f"{self.path} has several rows for {_few(self.several)}: give the folder that it names")


def _same_names(ours: dict, truth: dict, predictions: str | Path, references: str | Path) -> None:
    lacking = sorted(truth.keys() - ours.keys())
    surplus = sorted(ours.keys() - truth.keys())
    if not truth.keys() & ours.keys():
        raise UserError(
            f"no name is in both folders: {predictions} has {_few(surplus)}, {references} has {_few(lacking)}"
        )
    if lacking:
        raise UserError(f"{predictions} has no picture for {_few(lacking)}, which {references} has")
    if surplus:
        raise UserError(f"{references} has no picture for {_few(surplus)}, which {predictions} has")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


def _grey(record: Record) -> np.ndarray:
    """A record's infrared picture, uint8 (H, W); `UserError` where it is in colour, or deep and without a range."""
    values = read_infrared(record)
    with Image.open(record.infrared) as image:
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            if record.grey_high < 0:
                raise UserError(
                    f"{record.infrared} has 16 bits: give 8-bit pictures, or a manifest that says which values became "
                    "black and white (grey_low, grey_high)"
                )
        elif image.mode not in ("L", "1", "LA"):
            spread = channel_difference(np.asarray(image.convert("RGB")))
            if spread > AVIID_COLOUR:
                raise UserError(f"{record.infrared} is in colour: infrared pictures are grey; give those")
    return values


def _size(path: str | Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            return image.size
    except Exception:  # whatever is wrong with it is said when it is read
        return None


def _by(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}×{picture.shape[0]}"


def _classes(record: Record, shape: tuple[int, int]) -> np.ndarray:
    """The class mask at the infrared picture's size: the nearest pixel, classes have no mean."""
    try:
        with Image.open(record.classes) as image:
            mask = cropped(image, record.crop, record.classes).resize(shape[::-1], Image.Resampling.NEAREST)
            return np.array(mask.convert("L") if mask.mode not in ("L", "P") else mask)
    except UserError:
        raise
    except Exception as error:  # decoders raise a dozen types
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"cannot read the class mask {record.classes}: {reason}") from None
