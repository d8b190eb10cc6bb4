"""A small detector of persons and cars for grey pictures of 96 pixels, trained from random weights in about a minute.

It is torchvision's FCOS with a backbone of our own: what is looked for is a few pixels wide, so the finest map has
half of the picture's resolution. All of its layers normalise within one picture: what a training set looked like on
average is not carried over to the test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSRegressionHead
from torchvision.ops import FeaturePyramidNetwork
from tqdm.auto import tqdm

from v2ir_lib.evaluation.detector_boxes import KINDS, Boxes
from v2ir_lib.evaluation.detector_scores import Detections

STRIDES, WIDTHS, CHANNELS = (2, 4, 8), (32, 48, 64), 32
BATCH, RATE, DECAY, WARM_UP = 8, 2e-3, 1e-2, 0.1  # pictures, AdamW, share of the steps
LEAST_SCORE, MOST = 0.05, 20  # detections kept of a picture
GAIN, OFFSET = 0.3, 0.3  # training's jitter, in standard deviations of the picture
TESTED_AT_ONCE = 32
SETTINGS = {
    "batch": BATCH,
    "learning_rate": RATE,
    "weight_decay": DECAY,
    "warm_up": WARM_UP,
    "gain": GAIN,
    "offset": OFFSET,
    "least_score": LEAST_SCORE,
    "most_detections": MOST,
}


def _layer(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.GroupNorm(4, outer), nn.ReLU(inplace=True)
    )


class Backbone(nn.Module):
    """(B, 1, h, w) → maps of CHANNELS channels at 1/2, 1/4 and 1/8, each told what the coarser ones see."""

    out_channels = CHANNELS

    def __init__(self):
        super().__init__()
        first, second, third = WIDTHS
        self.stages = nn.ModuleList(
            [
                nn.Sequential(_layer(1, first // 2, 2), _layer(first // 2, first)),
                nn.Sequential(_layer(first, second, 2), _layer(second, second)),
                nn.Sequential(_layer(second, third, 2), _layer(third, third)),
            ]
        )
        self.pyramid = FeaturePyramidNetwork(list(WIDTHS), CHANNELS)

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        maps, found = {}, pictures
        for number, stage in enumerate(self.stages):
            maps[str(number)] = found = stage(found)
        return self.pyramid(maps)


def new_detector(seed: int, size: int) -> FCOS:
    """A detector with random weights, the same for the same seed; `size`: pixels a side of the pictures."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FCOS(
            Backbone(),
            1 + len(KINDS),
            anchor_generator=AnchorGenerator(tuple((stride,) for stride in STRIDES), ((1.0,),) * len(STRIDES)),
            min_size=size,
            max_size=size,
            image_mean=[0.0],  # pictures come standardised
            image_std=[1.0],
            score_thresh=LEAST_SCORE,
            nms_thresh=0.5,
            detections_per_img=MOST,
        )
        norm = partial(nn.GroupNorm, 4)
        model.head.classification_head = FCOSClassificationHead(CHANNELS, 1, 1 + len(KINDS), 1, norm_layer=norm)
        model.head.regression_head = FCOSRegressionHead(CHANNELS, 1, 1, norm_layer=norm)
    nn.init.ones_(model.head.regression_head.bbox_reg.bias)  # a box at first: behind the ReLU, 0 would learn nothing
    return model


def standardised(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (B, h, w) → float32 (B, 1, h, w), each picture of mean 0 and deviation 1: neither gain nor level counts."""
    grey = torch.from_numpy(np.ascontiguousarray(pictures)).float()[:, None]
    deviation, mean = torch.std_mean(grey, dim=(1, 2, 3), keepdim=True)
    return (grey - mean) / deviation.clamp_min(1.0)


def augmented(
    picture: torch.Tensor, corners: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture (1, h, w) and its boxes (n, 4), mirrored or not, brighter or darker, of more or less contrast.

    Draws the same numbers whatever the picture: two runs of one seed differ in the pictures alone.
    """
    mirror, gain, offset = rng.random(3)
    if mirror < 0.5:
        width = picture.shape[-1]
        picture = picture.flip(-1)
        corners = torch.stack([width - corners[:, 2], corners[:, 1], width - corners[:, 0], corners[:, 3]], dim=1)
    return picture * (1 + GAIN * (2 * gain - 1)) + OFFSET * (2 * offset - 1), corners


def batches(count: int, steps: int, rng: np.random.Generator):
    """`steps` lists of BATCH numbers below `count`: every picture once, in a new order, before any comes again."""
    waiting: list[int] = []
    for _ in range(steps):
        while len(waiting) < BATCH:
            waiting += rng.permutation(count).tolist()
        yield [waiting.pop(0) for _ in range(BATCH)]


@dataclass(frozen=True)
class Trained:
    """A detector, and the mean loss of its last tenth of steps."""

    model: FCOS
    loss: float


def train(pictures: np.ndarray, boxes: Sequence[Boxes], steps: int, seed: int, progress: str = "") -> Trained:
    """Train a new detector on pictures uint8 (N, h, w); weights, order and augmentation follow from `seed` alone."""
    model, rng = new_detector(seed, pictures.shape[-1]).train(), np.random.default_rng([seed, 1])
    inputs = standardised(pictures)
    truth = [[torch.from_numpy(part) for part in one.to_learn()] for one in boxes]
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(steps, 2), pct_start=WARM_UP)
    losses = []
    for batch in tqdm(batches(len(inputs), steps, rng), total=steps, desc=progress, leave=False, delay=2, unit="step"):
        seen = [augmented(inputs[i], truth[i][0], rng) for i in batch]
        targets = [{"boxes": corners, "labels": truth[i][1]} for i, (_, corners) in zip(batch, seen, strict=True)]
        loss = sum(model([picture for picture, _ in seen], targets).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return Trained(model.eval(), float(np.mean(losses[-max(1, steps // 10) :])))


@torch.no_grad()
def detect(model: FCOS, pictures: np.ndarray, scenes: np.ndarray) -> Detections:
    """What a detector sees in pictures uint8 (N, h, w), which show the scenes of these numbers (N,)."""
    found = []
    inputs = standardised(pictures)
    for start in range(0, len(inputs), TESTED_AT_ONCE):
        found += model(list(inputs[start : start + TESTED_AT_ONCE]))
    return Detections(
        scenes=np.concatenate([np.full(len(one["scores"]), scene) for scene, one in zip(scenes, found, strict=True)]),
        labels=torch.cat([one["labels"] for one in found]).numpy(),
        scores=torch.cat([one["scores"] for one in found]).numpy(),
        corners=torch.cat([one["boxes"] for one in found]).numpy(),
    )
