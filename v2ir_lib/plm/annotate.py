"""Words and segment maps for many pictures: BLIP and SAM read each one once, and the cache keeps what they said.

Both models are small beside the pictures' number, so the work is shared out by pictures: `workers` processes fill one
cache, each with one thread, and the calling process then reads it. What made an annotation, part of its name in the
cache, is the picture, the weights, the settings, and the code that turned masks into a map.
"""

import inspect
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context

import numpy as np
import torch
from tqdm.auto import tqdm

from v2ir_lib.diffusion.full import load_place, processor_of
from v2ir_lib.diffusion.images import reading_size, resize
from v2ir_lib.plm.cache import CHUNK, Items, Kept
from v2ir_lib.plm.sources import content
from v2ir_lib.profiles import Profile
from v2ir_lib.vlum import captioner as captioner_code
from v2ir_lib.vlum import segmenter as segmenter_code
from v2ir_lib.vlum import segments as segments_code
from v2ir_lib.vlum.captioner import describe
from v2ir_lib.vlum.segmenter import automatic_masks
from v2ir_lib.vlum.segments import render
from v2ir_lib.weights import place_hash

RENDERING = "regions"


@dataclass(frozen=True)
class Annotations:
    """What the two models see in N pictures."""

    captions: list[str]
    segments: Sequence[np.ndarray]  # N of uint8 (S, S, 3), rendered regions, read when they are asked for


def annotate(
    visible: Sequence[np.ndarray],
    profile: Profile,
    models: dict,
    *,
    name: str = "pictures",
    workers: int = 1,
    device: str = "cpu",
) -> Annotations:
    """Captions and segment maps of visible pictures, N of uint8 (H, W, 3), from the cache where they are there.

    `models` names the places of "captioner" and "segmenter", as `diffusion.full.find_part` gives them: folders, or
    files as published. Progress is shown; a run that was stopped goes on.
    """
    if workers > 1 and len(visible) > workers * CHUNK:
        shares = [(number, workers) for number in range(workers)]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(_fill, visible, profile, models, name, share, device) for share in shares]
            for job in tqdm(jobs, desc=f"annotating {name}, {workers} processes", delay=2, leave=False):
                job.result()
    words = captions(visible, profile, models, name=name, device=device)
    segments = _segments(visible, profile, models["segmenter"], name, device)
    segments.fill()
    return Annotations(words, Items(segments, "segments"))


def captions(
    visible: Sequence[np.ndarray], profile: Profile, models: dict, *, name: str = "pictures", device: str = "cpu"
) -> list[str]:
    """The captions alone, from the same cache."""
    return [str(one) for one in _captions(visible, profile, models, name, device).read()["captions"]]


def _fill(visible, profile: Profile, models: dict, name: str, share: tuple[int, int], device: str) -> None:
    """One process's share of the cache."""
    torch.set_num_threads(1)
    _captions(visible, profile, models, name, device).fill(share)
    _segments(visible, profile, models["segmenter"], name, device).fill(share)


def _captions(visible, profile: Profile, models: dict, name: str, device: str) -> Kept:
    folder = models["captioner"]
    beside = models.get("captioner_processor") or processor_of(folder)
    lengths = profile.reading_size, profile.caption_tokens, profile.caption_beams
    settings = place_hash(folder), inspect.getsource(captioner_code), lengths
    places = {"captioner": folder, "captioner_processor": beside}
    loaded = cache(lambda: [load_place(profile, part, place) for part, place in places.items()])

    def compute(chunk: slice) -> dict[str, np.ndarray]:
        captioner, processor = loaded()
        captioner.to(device)
        pictures = _reading(visible[chunk], profile)
        said = describe(captioner, processor, pictures, max_tokens=profile.caption_tokens, beams=profile.caption_beams)
        return {"captions": np.array(said, dtype=str)}

    def made_from(chunk: slice) -> tuple:
        return settings, content(visible, chunk)

    return Kept(f"captions-{name}", len(visible), made_from, compute)


def _segments(visible, profile: Profile, folder, name: str, device: str) -> Kept:
    code = [inspect.getsource(module) for module in (segmenter_code, segments_code)]
    settings = place_hash(folder), code, profile.reading_size, RENDERING
    loaded = cache(lambda: load_place(profile, "segmenter", folder).to(device))  # by the first picture that needs it

    def compute(chunk: slice) -> dict[str, np.ndarray]:
        segmenter, side = loaded(), profile.reading_size
        maps = [render(automatic_masks(segmenter, picture), RENDERING) for picture in _reading(visible[chunk], profile)]
        return {"segments": np.stack([resize(drawn, side, side) for drawn in maps])}

    def made_from(chunk: slice) -> tuple:
        return settings, content(visible, chunk)

    return Kept(f"segments-{name}", len(visible), made_from, compute, packed=True)


def _reading(pictures, profile: Profile) -> list[np.ndarray]:
    """Pictures as the pipeline gives them to BLIP and SAM: their own aspect, the longer side `reading_size`."""
    pictures = [np.asarray(picture) for picture in pictures]
    return [resize(picture, *reading_size(*picture.shape[:2], profile.reading_size)) for picture in pictures]
