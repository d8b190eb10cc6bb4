"""The tiny segmenter: segment_anything's `Sam`, small, trained from nothing on scenes with true regions (§3.4).

SAM's own recipe in little: a picture is encoded once, many point prompts ask for one region each, three masks answer,
and only the best of them learns, while a second head learns to say how good each mask is. Three things are added for a
short training. A throw-away head reads class and outline of every pixel off the embedding. A second one asks the
decoder's upscaled embedding to be alike within a region. And as the automatic generator asks at a coarse grid, between
whose points a distant person would be missed, a point next to a small object has two right answers: what lies under it,
and the object.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from segment_anything.modeling import Sam
from torch import nn

from v2ir_lib.profiles import TINY
from v2ir_lib.recipes.augment import augment
from v2ir_lib.recipes.segmenter_score import choose_thresholds, draw_masks, measure
from v2ir_lib.recipes.stage import Run, Stage, count_parameters, save_half, seed_everything, train
from v2ir_lib.vlum.segmenter import TINY_SAM, SamWrapper
from v2ir_lib.world import CLASSES

STEPS, BATCH, PROMPTS, LEARNING_RATE = 2400, 8, 8, 1e-3
SHAPE = TINY_SAM
FARTHEST = 9  # pixels of the picture from an object at which a prompt may still mean it: half a grid cell
SMALL = 100  # of a mask's pixels, four times as many in the picture: smaller objects slip through the grid
SHIFT = 32  # a pixel's region is SHIFT * instance + class


def region_map(combined: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the regions of SHIFT * instance + class: objects first, then connected parts of each stuff class.

    (H, W) integers to (H, W) region indices from 0, and how many of them are objects.
    """
    instances = combined // SHIFT
    numbers = np.unique(instances[instances > 0])
    regions = np.searchsorted(numbers, instances)
    found = len(numbers)
    for name in np.unique(combined[instances == 0]):
        parts, count = ndimage.label(combined == name)
        regions = np.where(parts > 0, found + parts - 1, regions)
        found += count
    return regions, len(numbers)


def draw_prompts(
    combined: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Point prompts for one picture and the masks that answer each.

    combined: (H, W), as in `region_map`, at half the picture's resolution. Returns points (count, 2) as (x, y) in
    the picture's pixels, masks (count, 2, H, W) bool, and which of the two answers exist (count, 2) bool.
    """
    regions, objects = region_map(combined)
    sizes = np.bincount(regions.ravel())
    weights = np.sqrt(sizes.astype(float)) * (sizes >= 8)  # 8 of these are 32 of the picture's pixels
    if weights[:objects].sum() > 0:  # every second prompt means an object
        weights[:objects] *= max(weights[objects:].sum(), 1.0) / weights[:objects].sum()
    if weights.sum() == 0:
        weights[:] = 1.0
    height, width = combined.shape
    points, masks, exist = np.zeros((count, 2)), np.zeros((count, 2, height, width), bool), np.zeros((count, 2), bool)
    for i, meant in enumerate(rng.choice(len(sizes), size=count, p=weights / weights.sum())):
        rows, columns = np.nonzero(regions == meant)
        pick = rng.integers(len(rows))
        row, column = rows[pick], columns[pick]
        if meant < objects and sizes[meant] < SMALL and rng.random() < 0.5:
            shift = rng.uniform(-FARTHEST, FARTHEST, 2) / 2
            row = int(np.clip(np.rint(row + shift[0]), 0, height - 1))
            column = int(np.clip(np.rint(column + shift[1]), 0, width - 1))
        under = regions[row, column]
        points[i] = 2 * column + 0.5, 2 * row + 0.5
        masks[i, 0], exist[i, 0] = regions == under, True
        if under != meant:
            masks[i, 1], exist[i, 1] = regions == meant, True
    return points, masks, exist


class RegionData:
    """Scenes of several packs as one list; batches of augmented pictures with prompts.

    packs: each has `visible` (N, S, S, 3), `instances` and `classes` (N, S, S), all uint8.
    """

    def __init__(self, packs: Sequence):
        self.packs = list(packs)
        self.places = [(p, i) for p, pack in enumerate(self.packs) for i in range(len(pack.visible))]

    def batch(self, size: int, prompts: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """pixels (B, 3, S, S) in 0..255; points (B, P, 2); masks (B, P, 2, S/2, S/2); exist; classes; outline."""
        where = [self.places[i] for i in torch.randint(len(self.places), (size,), generator=generator)]
        visible = np.stack([self.packs[p].visible[i] for p, i in where])
        instances = np.stack([self.packs[p].instances[i] for p, i in where]).astype(np.int32)
        combined = SHIFT * instances + np.stack([self.packs[p].classes[i] for p, i in where])
        image, combined = augment(torch.from_numpy(visible), torch.from_numpy(combined), generator, crop=0.3)
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        drawn = [draw_prompts(picture.numpy(), prompts, rng) for picture in combined]
        points, masks, exist = (torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))
        return dict(
            pixels=255 * image,
            points=points.float(),
            masks=masks,
            exist=exist,
            classes=combined % SHIFT,
            outline=outlines(combined),
        )


def outlines(combined: torch.Tensor) -> torch.Tensor:
    """1 where a pixel's right or lower neighbour is of another region: (B, H, W) integers to float."""
    edge = torch.zeros(combined.shape)
    edge[:, :, :-1] += combined[:, :, 1:] != combined[:, :, :-1]
    edge[:, :-1] += combined[:, 1:] != combined[:, :-1]
    return edge.clamp(max=1)


class SegmenterTraining(nn.Module):
    """`Sam` with its training-time head; `forward(batch)` is the loss."""

    def __init__(self, sam: Sam, class_count: int):
        super().__init__()
        self.sam = sam
        self.class_count = class_count
        width = sam.prompt_encoder.embed_dim
        self.dense = nn.Sequential(nn.Conv2d(width, 16 * (class_count + 1), 1), nn.PixelShuffle(4))
        self.alike = nn.Sequential(nn.Linear(width // 8, width), nn.ReLU(), nn.Linear(width, width // 8))

    def answer(self, embedding: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Three mask logits (P, 3, h, w) and their predicted IoU (P, 3) for points (P, 2) on a picture's embedding."""
        labels = torch.ones(len(points), 1, device=points.device)
        sparse, dense = self.sam.prompt_encoder(points=(points[:, None], labels), boxes=None, masks=None)
        return self.sam.mask_decoder(
            image_embeddings=embedding[None],
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )

    def likeness(self, embeddings: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Mask logits (B * P, 1, h * w): what looks like the prompts' places (B, P, 2) in the decoder's upscaling."""
        fine = self.sam.mask_decoder.output_upscaling(embeddings)  # (B, c, h, w)
        x, y = (points.long() // 2).unbind(dim=-1)
        there = fine[torch.arange(len(fine))[:, None], :, y, x]  # (B, P, c)
        return torch.einsum("bpc,bchw->bphw", self.alike(there), fine).flatten(2).flatten(0, 1)[:, None]

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss (a scalar to go down) and its parts; `iou` is the mean best IoU of the answers, to go up."""
        embeddings = self.sam.image_encoder(self.sam.preprocess(batch["pixels"]))
        answers = [self.answer(e, p) for e, p in zip(embeddings, batch["points"], strict=True)]
        logits, said = (torch.cat(part) for part in zip(*answers, strict=True))
        masks, exist = batch["masks"].flatten(0, 1), batch["exist"].flatten(0, 1)
        mask_loss, said_loss, best = prompt_losses(logits, said, masks, exist)
        dense = self.dense(embeddings)
        classes = F.cross_entropy(dense[:, 1:], batch["classes"])
        outline = F.binary_cross_entropy_with_logits(dense[:, 0], batch["outline"])
        alike = _mask_loss(self.likeness(embeddings, batch["points"]), masks[:, :1].flatten(2).float()).mean()
        loss = mask_loss + 2 * said_loss + 0.5 * (classes + outline + alike)
        parts = dict(mask=mask_loss, said=said_loss, classes=classes, outline=outline, alike=alike, iou=best)
        return loss, {name: value.item() for name, value in parts.items()}


def prompt_losses(
    logits: torch.Tensor, said: torch.Tensor, masks: torch.Tensor, exist: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The loss of the best mask for each right answer, of the predicted IoU, and the mean best IoU.

    logits (N, 3, h, w), said (N, 3), masks (N, 2, h, w) bool, exist (N, 2) bool. A second answer counts half; the masks
    that lose learn a twentieth of the first answer, so that none of the three dies.
    """
    logits, target = logits.flatten(2), masks.flatten(2).float()  # (N, 3, n), (N, 2, n)
    with torch.no_grad():
        soft = _overlap(logits.sigmoid(), target, dice=True)  # (N, 3, 2)
        hard = _overlap((logits > 0).float(), target, dice=False)
        hard = hard.masked_fill(~exist[:, None], 0.0)
        winner = soft.argmax(dim=1)  # (N, 2)
    chosen = torch.gather(logits, 1, winner[..., None].expand(-1, -1, logits.shape[-1]))
    weight = exist * torch.tensor([1.0, 0.5], device=logits.device)
    mask_loss = (weight * _mask_loss(chosen, target)).sum() / weight.sum()
    mask_loss = mask_loss + 0.05 * _mask_loss(logits, target[:, :1]).mean()
    said_loss = F.mse_loss(said, hard.amax(dim=2))
    return mask_loss, said_loss, (hard.amax(dim=1) * exist).sum() / exist.sum()


def _overlap(masks: torch.Tensor, target: torch.Tensor, dice: bool) -> torch.Tensor:
    """Dice coefficient or intersection over union of each mask (N, M, n) with each target (N, T, n): (N, M, T)."""
    both = masks @ target.transpose(1, 2)
    total = masks.sum(2)[:, :, None] + target.sum(2)[:, None]
    return (2 * both + 1) / (total + 1) if dice else both / (total - both).clamp(min=1)


def _mask_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, a mask and its surroundings weighing the same, plus dice loss: (N, M, n) to (N, M).

    With SAM's focal loss, averaged over a picture, all masks were empty for the first three hundred steps.
    """
    target = target.expand_as(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    inside = (cross_entropy * target).sum(2) / target.sum(2).clamp(min=1)
    outside = (cross_entropy * (1 - target)).sum(2) / (1 - target).sum(2).clamp(min=1)
    probability = logits.sigmoid()
    dice = 1 - (2 * (probability * target).sum(2) + 1) / (probability.sum(2) + target.sum(2) + 1)
    return (inside + outside) / 2 + dice


def train_segmenter(run: Run) -> dict:
    """The stage: train on visible scenes, choose the generator's thresholds on validation scenes; `segmenter/`."""
    data = RegionData([run.pack(name) for name in ("captioned", "pairs")])
    seed_everything(run.seed, "segmenter")
    wrapper = SamWrapper(**SHAPE, points_per_side=TINY.points_per_side)
    model = SegmenterTraining(wrapper.sam, len(CLASSES)).to(run.device)

    def loss(step: int, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        return model({key: value.to(run.device) for key, value in data.batch(BATCH, PROMPTS, generator).items()})

    def finish(out: Path) -> dict:
        folder, validation = out / "segmenter", run.pack("validation")
        wrapper.register_to_config(**choose_thresholds(wrapper, validation, sides=(8, 12)))
        save_half(wrapper, folder)
        scores = measure(folder, validation, limit=48)
        draw_masks(folder, validation, run.figure("segmenter"))
        return {"parameters": count_parameters(wrapper), "thresholds": thresholds(wrapper), "validation": scores}

    return train(
        Stage("segmenter", model, loss, finish, STEPS, BATCH, LEARNING_RATE, 100, weight_decay=0.02, ema_decay=0.998),
        run,
    )


def thresholds(wrapper: SamWrapper) -> dict:
    """The automatic generator's settings, as stored in the wrapper's config."""
    names = ("points_per_side", "pred_iou_thresh", "stability_score_thresh", "box_nms_thresh")
    return {name: wrapper.config[name] for name in names}
