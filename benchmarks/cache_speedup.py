"""Images a second of training with cached words, maps and latents, against computing them for every sample.

Writes results/bench_cache.json. Three loops in one run, the same but for their data, on the same draws:

    cached    captions, segment maps and latent moments looked up (`plm.prepare`)
    naive     all three computed for each sample of each step
    released  as the authors' code: maps are read from disk, captions and latents are computed for each sample

`--model` names a pipeline whose parts are used; `--steps`, `--scenes` and `--out` make a smaller trial of it.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from v2ir_lib.diffusion.folders import load_segmenter
from v2ir_lib.diffusion.latents import condition_from_moments
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.plm.dataset import PhaseData, looks_of
from v2ir_lib.plm.draws import draw_batch
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.phases import Phase, get_phase
from v2ir_lib.plm.prepare import Encoders, load_data
from v2ir_lib.plm.sources import PackScenes
from v2ir_lib.plm.start import RANDOM, frozen_parts, start_unet
from v2ir_lib.plm.train import train
from v2ir_lib.profiles import TINY
from v2ir_lib.vlum.captioner import describe, load_captioner, load_captioner_processor
from v2ir_lib.vlum.prompts import make_prompt
from v2ir_lib.vlum.segmenter import automatic_masks
from v2ir_lib.vlum.segments import render
from v2ir_lib.world.packs import load_pack

SEED = 0


@dataclass
class LiveData:
    """`PhaseData` that keeps nothing: each look-up reads the picture, runs the models on it and encodes the crop."""

    scenes_: PackScenes
    phase: Phase
    encoders: Encoders
    latent_shape: tuple[int, int, int]
    maps: np.ndarray | None = None  # segment maps made beforehand, uint8 (N, S, S, 3)

    @property
    def scenes(self) -> int:
        return len(self.scenes_)

    @property
    def crops(self) -> int:
        return self.phase.crops

    @property
    def looks(self) -> int:
        return self.phase.looks

    @cached_property
    def captioner(self):
        models = self.encoders.models
        return load_captioner(models["captioner"]), load_captioner_processor(models["captioner_processor"])

    @cached_property
    def segmenter(self):
        return load_segmenter(self.encoders.models["segmenter"])

    @cached_property
    def text_models(self):
        from v2ir_lib.diffusion.components import load_text_encoder, load_tokenizer

        models = self.encoders.models
        return load_tokenizer(models["tokenizer"]), load_text_encoder(models["text_encoder"])

    def encode(self, pictures: list[np.ndarray], scenes, crops) -> torch.Tensor:
        """Moments of one crop of each picture, float32 (B, 8, h, w), through half precision as the cache keeps them."""
        cut = [
            self.encoders.crops(scene, self.crops)[crop].of(np.asarray(picture))
            for picture, scene, crop in zip(pictures, scenes, crops, strict=True)
        ]
        return torch.from_numpy(self.encoders.moments(np.stack(cut))).float()

    def infrared_moments(self, scenes, crops, looks) -> torch.Tensor:
        cameras = [
            looks_of(scene, crop, self.phase.cameras, self.looks)[look]
            for scene, crop, look in zip(scenes, crops, looks, strict=True)
        ]
        pictures = [self.scenes_.infrared(scene, camera) for scene, camera in zip(scenes, cameras, strict=True)]
        return self.encode(pictures, scenes, crops)

    def visible_latents(self, scenes, crops) -> torch.Tensor:
        return condition_from_moments(self.encode([self.scenes_.visible[i] for i in scenes], scenes, crops))

    def segment_latents(self, scenes, crops) -> torch.Tensor:
        if self.maps is not None:
            maps = [self.maps[i] for i in scenes]
        else:
            maps = [render(automatic_masks(self.segmenter, np.asarray(self.scenes_.visible[i]))) for i in scenes]
        return condition_from_moments(self.encode(maps, scenes, crops))

    def text_states(self, scenes) -> torch.Tensor:
        from v2ir_lib.diffusion.components import encode_text

        profile = self.encoders.profile
        lengths = {"max_tokens": profile.caption_tokens, "beams": profile.caption_beams}
        said = [describe(*self.captioner, [np.asarray(self.scenes_.visible[i])], **lengths)[0] for i in scenes]
        return encode_text(*self.text_models, [make_prompt(caption, self.phase.prompt) for caption in said])


@dataclass
class Loops:
    """The three loops, the same but for where a batch comes from."""

    data: dict[str, PhaseData | LiveData]
    phase: Phase
    encoders: Encoders
    parts: dict
    preparation: float  # seconds, of the cached loop

    def images_per_second(self, name: str, steps: int) -> float:
        """Of training for `steps` steps, after one that is not counted."""
        unet = start_unet(TINY, self.phase, self.parts, RANDOM, SEED)
        loss, begun = Loss(self.phase, self.encoders.scaling_factor, self.encoders.text([""])), []
        with tempfile.TemporaryDirectory() as folder:
            train(
                unet, self.phase, self.data[name], loss, seed=SEED, folder=Path(folder), until=steps + 1,
                after_step=lambda progress: begun.append(time.perf_counter()),
            )  # fmt: skip
        return steps * self.phase.settings.batch_size / (begun[-1] - begun[0])


def prepare(scenes: int, batch_size: int, model: str | None = None) -> Loops:
    """The loops over so many scenes of phase 3's pack, with a pipeline's frozen parts, by default the shipped ones."""
    phase = get_phase("phase3", TINY)  # the pack is small, the work of a sample that of phase 2
    phase = replace(phase, settings=replace(phase.settings, batch_size=batch_size))
    parts = frozen_parts(TINY, phase, model)
    source = PackScenes(load_pack(phase.pack, limit=scenes))
    encoders = Encoders(TINY, parts)
    started = time.perf_counter()
    cached = load_data(source, phase, encoders)
    preparation = time.perf_counter() - started
    maps = encoders.annotate(source.visible, source.name).segments[:]  # in memory: reading is not what is measured
    live = {
        name: LiveData(source, phase, encoders, cached.latent_shape, given)
        for name, given in {"naive": None, "released": maps}.items()
    }
    return Loops({"cached": cached} | live, phase, encoders, parts, preparation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--steps", type=int, default=3, help="of the naive loops; the cached one runs ten times as many"
    )
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=TINY.phase2.batch_size)
    parser.add_argument("--model", help="pipeline whose frozen parts are used; without it, the shipped ones")
    parser.add_argument("--out", type=Path, default=repo_root() / "results" / "bench_cache.json")
    chosen = parser.parse_args()
    loops = prepare(chosen.scenes, chosen.batch_size, chosen.model)
    difference = largest_difference(loops.data["cached"], loops.data["naive"], loops.phase)
    steps = {"cached": 10 * chosen.steps, "naive": chosen.steps, "released": chosen.steps}
    speeds = {name: loops.images_per_second(name, count) for name, count in steps.items()}
    report = {
        "about": "training images a second at the tiny size, one run: cached, all computed for each sample (naive), "
        "captions and latents computed but maps read (released)",
        "provenance": provenance(SEED),
        "scenes": loops.data["cached"].scenes,
        "batch_size": chosen.batch_size,
        "steps": steps,
        "images_per_second": {name: round(speed, 3) for name, speed in speeds.items()},
        "cached_over_naive": round(speeds["cached"] / speeds["naive"], 2),
        "cached_over_released": round(speeds["cached"] / speeds["released"], 2),
        "preparation_seconds": round(
            loops.preparation, 2
        ),  # of the cached loop; near 0 where the cache was filled before
        "largest_difference_of_a_batch": difference,  # cached against naive: they are one training
    }
    write_json(chosen.out, report)
    print(f"cached {speeds['cached']:.1f} images/s: {report['cached_over_naive']} times naive, "
          f"{report['cached_over_released']} times released; the same batch to {difference:.1e}")  # fmt: skip


def largest_difference(cached: PhaseData, live: LiveData, phase: Phase) -> float:
    """Between two samples of a batch as the two loops see it: rounding only, or the comparison would mean nothing."""
    one, other = (draw_batch(data, phase, SEED, 0, [0, 1]) for data in (cached, live))
    names = ("infrared", "visible", "segments", "text")
    return round(max(float((getattr(one, name) - getattr(other, name)).abs().max()) for name in names), 6)


if __name__ == "__main__":
    main()
