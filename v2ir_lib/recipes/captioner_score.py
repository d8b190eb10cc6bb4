"""How much of a scene the tiny captioner says correctly."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
import torch
from transformers import BlipForConditionalGeneration, BlipProcessor

from v2ir_lib.files import atomic_path
from v2ir_lib.profiles import TINY

SCALARS = ("time", "weather", "season", "setting", "viewpoint")


def load_captioner(folder: Path) -> tuple[BlipForConditionalGeneration, BlipProcessor]:
    """The shipped fp16 weights as an fp32 model for inference, and its processor."""
    model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    return model.eval(), BlipProcessor.from_pretrained(folder)


@torch.no_grad()
def write_captions(
    captioner: BlipForConditionalGeneration,
    processor: BlipProcessor,
    visible: np.ndarray,
    beams: int = TINY.caption_beams,
    tokens: int = TINY.caption_tokens,
    batch_size: int = 32,
) -> list[str]:
    """Beam-search captions of visible (N, H, W, 3) uint8."""
    captions = []
    for start in range(0, len(visible), batch_size):
        images = list(visible[start : start + batch_size])
        pixels = processor.image_processor(images=images, return_tensors="pt").pixel_values.to(captioner.device)
        ids = captioner.generate(pixels, num_beams=beams, max_length=tokens, do_sample=False)
        captions += processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
    return captions


def score(stated: Sequence[dict], specs: Sequence[dict]) -> dict:
    """The share of attributes stated correctly; stated: one attributes dict a scene, a missing key counts as wrong.

    mean: over the scalar attributes and one present-or-absent statement for each object kind, each with equal weight.
    objects_f1: of those statements "present", which absent kinds cannot flatter. counts: share of the kinds truly
    present whose number is stated exactly (the captions say "several" from some number on: then that is the number).
    """
    true = [spec["attributes"] for spec in specs]
    kinds = sorted({kind for attributes in true for kind in attributes["objects"]})
    by_attribute = {
        key: float(np.mean([mine.get(key) == its[key] for mine, its in zip(stated, true, strict=True)]))
        for key in SCALARS
        if all(key in its for its in true)
    }
    said = np.array([[mine.get("objects", {}).get(kind, 0) for kind in kinds] for mine in stated])
    there = np.array([[its["objects"].get(kind, 0) for kind in kinds] for its in true])
    for column, kind in enumerate(kinds):
        by_attribute[kind] = float(np.mean((said[:, column] > 0) == (there[:, column] > 0)))
    both = np.sum((said > 0) & (there > 0))
    return {
        "mean": float(np.mean(list(by_attribute.values()))),
        "objects_f1": float(2 * both / max(1, np.sum(said > 0) + np.sum(there > 0))),
        "counts": float(np.mean((said == there)[there > 0])) if (there > 0).any() else 1.0,
        "by_attribute": by_attribute,
    }


def majority(specs: Sequence[dict]) -> dict:
    """The one statement that is right most often: each attribute's most frequent value, kinds in half the scenes."""
    true = [spec["attributes"] for spec in specs]
    constant = {key: Counter(its[key] for its in true).most_common(1)[0][0] for key in SCALARS if key in true[0]}
    shares = Counter(kind for its in true for kind in its["objects"])
    constant["objects"] = {kind: 1 for kind, count in shares.items() if 2 * count > len(true)}
    return constant


def measure(
    folder: Path,
    pack,
    limit: int | None = None,
    attributes_of: Callable[[str], dict] | None = None,
    write: Callable[[np.ndarray], list[str]] | None = None,
) -> dict:
    """Score the captioner in `folder` on the first `limit` scenes, beside the true captions and one constant statement.

    write: pictures to captions, in place of the model in `folder`. attributes_of: captions to attributes.
    """
    if attributes_of is None:
        from v2ir_lib.world.captions import attributes_of
    if write is None:
        captioner, processor = load_captioner(folder)

        def write(visible):
            return write_captions(captioner, processor, visible)

    count = min(limit or len(pack.captions), len(pack.captions))
    specs = pack.specs[:count]
    stated = [attributes_of(caption) for caption in write(np.array(pack.visible[:count]))]
    return {
        "scenes": count,
        **score(stated, specs),
        "true_captions": score([attributes_of(caption) for caption in pack.captions[:count]], specs)["mean"],
        "majority": score([majority(specs)] * count, specs),
    }


def draw_captions(folder: Path, pack, path: Path, count: int = 8) -> None:
    """A picture of `count` scenes with the captioner's words above the true ones."""
    import matplotlib.pyplot as plt

    captioner, processor = load_captioner(folder)
    count = min(count, len(pack.captions))
    visible = np.array(pack.visible[:count])
    figure, axes = plt.subplots(-(-count // 4), 4, figsize=(14, 4.6 * -(-count // 4)), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    rows = zip(axes.flat, visible, write_captions(captioner, processor, visible), pack.captions, strict=False)
    for axis, image, mine, its in rows:
        axis.imshow(image)
        words = (fill(f"{who}: {text}", 52, subsequent_indent="    ") for who, text in (("says", mine), ("true", its)))
        axis.set_title("\n".join(words), fontsize=7, loc="left")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90, bbox_inches="tight", pil_kwargs={"quality": 90})
    plt.close(figure)
