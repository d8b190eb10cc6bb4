"""Words and segment maps for many pictures: BLIP and SAM read each one once, and the cache keeps what they said.

Both models are small beside the pictures' number, so the work is shared out by pictures: `workers` processes fill one
cache, each with one thread, and the calling process then reads it. What made an annotation, part of its name in the
cache, is the picture, the weights, the settings, and the code that turned masks into a map.
"""

import inspect
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context

import numpy as np
import torch
from tqdm.auto import tqdm

from v2ir_lib.diffusion.images import resize
from v2ir_lib.plm.cache import CHUNK, cached
from v2ir_lib.profiles import Profile
from v2ir_lib.vlum import captioner as captioner_code
from v2ir_lib.vlum import segmenter as segmenter_code
from v2ir_lib.vlum import segments as segments_code
from v2ir_lib.vlum.captioner import describe, load_captioner, load_captioner_processor
from v2ir_lib.vlum.segmenter import SamWrapper, automatic_masks
from v2ir_lib.vlum.segments import render
from v2ir_lib.weights import folder_hash, load_model

RENDERING = "regions"


@dataclass(frozen=True)
class Annotations:
    """What the two models see in N pictures."""

    captions: list[str]
    segments: np.ndarray  # uint8 (N, S, S, 3), rendered regions


def annotate(
    visible: np.ndarray,
    profile: Profile,
    models: dict,
    *,
    name: str = "pictures",
    workers: int = 1,
    device: str = "cpu",
) -> Annotations:
    """Captions and segment maps of visible pictures, uint8 (N, H, W, 3), from the cache where they are there.

    `models` names the folders of "captioner" and "segmenter". Progress is shown; a run that was stopped goes on.
    """
    if workers > 1 and len(visible) > workers * CHUNK:
        shares = [(number, workers) for number in range(workers)]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(_fill, visible, profile, models, name, share, device) for share in shares]
            for job in tqdm(jobs, desc=f"annotating {name}, {workers} processes", delay=2, leave=False):
                job.result()
    words = captions(visible, profile, models["captioner"], name=name, device=device)
    segments = _segments(visible, profile, models["segmenter"], name, (0, 1), True, device)
    return Annotations(words, segments["segments"])


def captions(
    visible: np.ndarray, profile: Profile, folder, *, name: str = "pictures", device: str = "cpu"
) -> list[str]:
    """The captions alone, by the captioner in `folder`, from the same cache."""
    return [str(one) for one in _captions(visible, profile, folder, name, (0, 1), True, device)["captions"]]


def _fill(visible, profile: Profile, models: dict, name: str, share: tuple[int, int], device: str) -> None:
    """One process's share of the cache."""
    torch.set_num_threads(1)
    _captions(visible, profile, models["captioner"], name, share, False, device)
    _segments(visible, profile, models["segmenter"], name, share, False, device)


def _captions(visible, profile: Profile, folder, name: str, share, read: bool, device: str):
    settings = folder_hash(folder), inspect.getsource(captioner_code), profile.caption_tokens, profile.caption_beams
    loaded = cache(lambda: (load_captioner(folder, device), load_captioner_processor(folder)))

    def compute(chunk: slice) -> dict[str, np.ndarray]:
        captioner, processor = loaded()
        pictures = [np.asarray(picture) for picture in visible[chunk]]
        said = describe(captioner, processor, pictures, max_tokens=profile.caption_tokens, beams=profile.caption_beams)
        return {"captions": np.array(said, dtype=str)}

    return cached(
        f"captions-{name}", len(visible), lambda chunk: (settings, visible[chunk]), compute, share=share, read=read
    )


def _segments(visible, profile: Profile, folder, name: str, share, read: bool, device: str):
    code = [inspect.getsource(module) for module in (segmenter_code, segments_code)]
    settings = folder_hash(folder), code, profile.reading_size, RENDERING
    loaded = cache(lambda: load_model(SamWrapper, folder, device))  # by the first picture that needs it, if any

    def compute(chunk: slice) -> dict[str, np.ndarray]:
        segmenter, side = loaded(), profile.reading_size
        pictures = [resize(np.asarray(picture), side, side) for picture in visible[chunk]]
        maps = [render(automatic_masks(segmenter, picture), RENDERING) for picture in pictures]
        return {"segments": np.stack(maps)}

    return cached(
        f"segments-{name}", len(visible), lambda chunk: (settings, visible[chunk]), compute, share=share, read=read
    )
