"""One picture of a manifest: what BLIP says of it and what SAM finds in it, in one file that knows how it was made.

The file is the segment map, a PNG with three notes in its header: the caption, the number of masks, and a fingerprint
of all that made them (picture, weights, settings, code). Who finds the fingerprint there need not do it again, and map
and caption can never be of two different runs.
"""

import inspect
import io
import signal
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image, PngImagePlugin

from v2ir_lib.data.reading import read_visible
from v2ir_lib.diffusion.full import load_captioning, load_part
from v2ir_lib.diffusion.images import check_size, reading_size, resize
from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, sha256
from v2ir_lib.plm.cache import fingerprint
from v2ir_lib.profiles import Profile
from v2ir_lib.records import Record
from v2ir_lib.vlum import captioner as captioner_code
from v2ir_lib.vlum import segmenter as segmenter_code
from v2ir_lib.vlum import segments as segments_code
from v2ir_lib.vlum.captioner import describe
from v2ir_lib.vlum.segmenter import automatic_masks
from v2ir_lib.vlum.segments import render
from v2ir_lib.weights import place_hash

CODE = (captioner_code, segmenter_code, segments_code)


@dataclass(frozen=True)
class Settings:
    """How pictures are annotated: the models, and all that changes what they say."""

    profile: Profile  # its reading size, and its lengths of captions
    captioner: Path  # folder; the processor lies in it or, as in a pipeline's folder, beside it
    segmenter: Path  # folder, or SAM's own file
    rendering: str = "regions"  # one of `vlum.segments.RENDERINGS`
    nucleus: float | None = None  # sampled captions in place of beam search
    seed: int = 0  # of the sampling

    def key(self) -> str:
        """A hash of the weights, the settings and the code: with the picture, all that decides an annotation."""
        beside = self.captioner.parent / "captioner_processor"
        places = [self.captioner, beside, self.segmenter]
        weights = [place_hash(place) for place in places]
        words = self.profile.caption_tokens, self.profile.caption_beams, self.nucleus, self.seed
        code = [inspect.getsource(module) for module in CODE]
        return fingerprint(weights, self.rendering, self.profile.reading_size, words, code)

    def load(self, device: str) -> tuple:
        """BLIP, its processor and SAM on a device, float32."""
        given = {"captioner": self.captioner, "segmenter": self.segmenter}
        captioner, processor = load_captioning(self.profile, given)
        return captioner.to(device), processor, load_part(self.profile, "segmenter", given).to(device)


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    id: str
    status: str  # "done", "kept" (it was there) or "skipped"
    caption: str = ""
    masks: int = 0
    reason: str = ""  # why it was skipped


@dataclass
class Annotator:
    """Both models on one device, loaded by the first picture that needs them."""

    settings: Settings
    key: str  # of the settings
    folder: Path  # of the manifest, where its paths begin
    out: Path
    device: str = "cpu"

    @cached_property
    def models(self) -> tuple:
        """BLIP, its processor, SAM."""
        return self.settings.load(self.device)

    def annotate(self, records: list[Record]) -> list[Outcome]:
        """Read the visible picture that some rows share, and write a file for each row that has none yet.

        A bad picture is skipped. `UserError` for what concerns all rows: a broken model, a full disk.
        """
        record, targets = records[0], [segments_path(self.out, one.id) for one in records]
        try:
            key = fingerprint(self.key, _content(Path(self.folder, record.visible)), record.crop)
            notes = [read_note(target, key) for target in targets]
            known = next((target for target, note in zip(targets, notes, strict=True) if note), None)
            if known is None:
                picture = read_visible(record, self.folder)
                check_size(picture.shape[1::-1], record.visible)
        except UserError as error:
            for target in targets:  # of an earlier state of the picture, which can no longer be read
                target.unlink(missing_ok=True)
            return [Outcome(one.id, "skipped", reason=str(error)) for one in records]
        content = self._file(picture, key) if known is None else known.read_bytes()
        for target, note in zip(targets, notes, strict=True):
            if note is None:
                with atomic_path(target) as temporary:
                    temporary.write_bytes(content)
        said = next(note for note in map(read_note, targets, [key] * len(targets)) if note)
        return [Outcome(one.id, "kept" if note else "done", *said) for one, note in zip(records, notes, strict=True)]

    def _file(self, picture: np.ndarray, key: str) -> bytes:
        """A picture's segment map with its notes, as a PNG."""
        caption, masks, drawn = self.look(picture)
        return encoded(drawn, {"fingerprint": key, "masks": str(masks), "caption": caption})

    def look(self, picture: np.ndarray) -> tuple[str, int, np.ndarray]:
        """Caption, number of masks, and map uint8 (h, w, 3) of a picture uint8 (H, W, 3), as the pipeline sees them.

        One picture at a time: its words must not depend on its neighbours, nor on what a stopped run had done.
        """
        captioner, processor, segmenter = self.models
        settings, profile = self.settings, self.settings.profile
        small = resize(picture, *reading_size(*picture.shape[:2], profile.reading_size))
        [caption] = describe(
            captioner,
            processor,
            [small],
            max_tokens=profile.caption_tokens,
            beams=profile.caption_beams,
            nucleus=settings.nucleus,
            seed=settings.seed,
        )
        masks = automatic_masks(segmenter, small)
        return caption, len(masks), render(masks, settings.rendering)


_mine: Annotator | None = None  # of this worker process


def begin(annotator: Annotator, free) -> None:
    """A worker process begins: a device from the queue, one thread, and Ctrl-C is the parent's business."""
    global _mine
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _mine = replace(annotator, device=free.get())


def work(pictures: list[list[Record]]) -> list[Outcome]:
    """A worker process's next few pictures, each as the rows that share it."""
    return [outcome for records in pictures for outcome in _mine.annotate(records)]


def segments_path(out: str | Path, id: str) -> Path:
    """Where the segment map of a row lies below the folder that `v2ir annotate` wrote."""
    return Path(out) / "segments" / f"{id}.png"


def read_note(path: Path, key: str) -> tuple[str, int] | None:
    """Caption and number of masks of an annotated picture; None where it is missing, damaged, or made otherwise."""
    try:
        with Image.open(path) as image:
            if image.info.get("fingerprint") != key:
                return None
            image.load()
            return str(image.info["caption"]), int(image.info["masks"])
    except Exception:  # a damaged file raises one of half a dozen types; all mean: do it again
        return None


def encoded(picture: np.ndarray, notes: dict[str, str]) -> bytes:
    """A PNG with notes, made in memory: an encoder that fails on a full disk hides why."""
    text, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    for name, value in notes.items():
        text.add_itxt(name, value)
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def _content(path: Path) -> str:
    """SHA-256 of a picture file; `UserError` where it cannot be read."""
    try:
        return sha256(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or type(error).__name__).lower()}") from None
