"""What the UNet is told of N scenes, by a row's flags: prompts, and latents of segment maps.

Training and sampling ask the same functions. "Shuffled" is a placebo: every scene gets another one's caption or
map, so that the model is told as much, and none of it is true. "True" is an oracle: what perfect models would say.
"""

import numpy as np
import torch

from v2ir_lib.evaluation.ablations.rows import CONSTANT, INSTRUCTION
from v2ir_lib.plm.annotate import captions
from v2ir_lib.plm.phases import Phase
from v2ir_lib.plm.prepare import Encoders, condition_latents
from v2ir_lib.vlum.prompts import make_prompt
from v2ir_lib.vlum.segments import masks_of_labels, regions


def prompts_of(words: str, pack, template: str, encoders: Encoders) -> list[str]:
    """One prompt a scene, or a single one where all are told the same; "" is the text of an absent condition."""
    alike = {"none": "", "instruction": INSTRUCTION, "constant": make_prompt(CONSTANT, template)}
    if words in alike:
        return [alike[words]]
    if words == "true":
        said = list(pack.captions)
    else:
        said = captions(pack.visible, encoders.profile, encoders.models, name=pack.name, device=encoders.device)
    if words == "shuffled":
        said = [said[i] for i in others(len(said))]
    return [make_prompt(caption, template) for caption in said]


def text_of(words: str, pack, template: str, encoders: Encoders) -> torch.Tensor:
    """Hidden states of these prompts, float32 (N, L, D), or (1, L, D) where all are told the same."""
    return encoders.text(prompts_of(words, pack, template, encoders))


def pictures_of(maps: str, pack, phase: Phase, encoders: Encoders) -> tuple[np.ndarray, np.ndarray]:
    """Posterior modes of the visible pictures' crops and of their maps', both float16 (N, K, 4, h, w).

    No map is a latent of zeros, as where the dropout of training takes it away.
    """
    visible = condition_latents(pack.visible, f"{pack.name}-visible", phase, encoders)
    if maps == "none":
        return visible, np.broadcast_to(np.float16(0), visible.shape)
    return visible, _map_latents(maps, pack, phase, encoders)


def _map_latents(maps: str, pack, phase: Phase, encoders: Encoders) -> np.ndarray:
    if maps == "true":
        return condition_latents(true_regions(pack), f"{pack.name}-true", phase, encoders)
    drawn = encoders.annotate(pack.visible, pack.name).segments
    if maps in ("edges", "union"):
        redrawn = np.stack([redraw(one, maps) for one in drawn])
        return condition_latents(redrawn, f"{pack.name}-{maps}", phase, encoders)
    latents = condition_latents(drawn, f"{pack.name}-segments", phase, encoders)
    return latents[others(len(latents))] if maps == "shuffled" else latents


def others(count: int) -> np.ndarray:
    """For each of `count` scenes the number of another one, each once, always the same; a scene alone keeps its own."""
    order = np.random.default_rng(count).permutation(count)
    found = np.empty(count, dtype=int)
    found[order] = np.roll(order, 1)
    return found


def true_regions(pack) -> np.ndarray:
    """A pack's true masks, objects and kinds of ground alike, drawn as SAM's are: uint8 (N, H, W, 3)."""
    labels = np.where(pack.instances > 0, pack.instances.astype(np.int64) + 1000, pack.classes.astype(np.int64) + 1)
    return np.stack([regions(masks_of_labels(one)) for one in labels])


def redraw(drawn: np.ndarray, kind: str) -> np.ndarray:
    """A map of `regions` as the same masks' `edges` or `union`, uint8 (H, W, 3), without asking SAM again.

    Regions are never black and their lines have half their colour's brightness, so nothing of either is lost.
    """
    bright = drawn.max(axis=2)
    found = bright > 0
    if kind == "union":
        white = found
    else:
        white = found & (bright < HALF)
        white[:, :-1] |= ~found[:, :-1] & found[:, 1:]  # of what lies outside of all regions: black, line or not
        white[:-1] |= ~found[:-1] & found[1:]
    return np.repeat(np.uint8(255) * white[..., None], 3, axis=2)


HALF = (
    150  # between the brightest line (0.93 · 255 / 2) and the darkest region (0.65 · 255): see `vlum.segments.colour`
)
