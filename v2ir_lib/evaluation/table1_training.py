"""The Table 1 experiment's trainings: phase 3 on each half's training frames, and what the models answer.

Everything that costs time is in the cache under a name made from what determines it: a run that was stopped goes on
from its checkpoint, a finished one is only read.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.evaluation.scenes import Scenes, translate
from v2ir_lib.evaluation.table1_scores import Scores, score
from v2ir_lib.evaluation.table1_sequences import HALVES, frames_of, seen_frames
from v2ir_lib.files import cache_dir
from v2ir_lib.plm.cache import fingerprint, weights_fingerprint
from v2ir_lib.plm.outcome import pipeline_of
from v2ir_lib.plm.phases import get_phase
from v2ir_lib.plm.prepare import Encoders
from v2ir_lib.plm.run import Options, train_phase
from v2ir_lib.plm.start import frozen_parts, start_unet
from v2ir_lib.profiles import TINY, get_profile
from v2ir_lib.weights import folder_hash
from v2ir_lib.world.cameras import STYLE_CAMERA

NOISE_SEED = 0  # of sampling: every model starts a picture from the same noise


class Experiment:
    """Two halves of sequences and one start. `test`, `training` and `seen` map a half to its frames."""

    def __init__(self, manifest: Path):
        self.manifest, self.profile = manifest, get_profile(TINY.name)
        self.phase = get_phase("phase3", self.profile)
        self.parts = frozen_parts(self.profile, self.phase)
        self.encoders = Encoders(self.profile, self.parts)
        self.test = {half: self._scenes(frames_of(manifest, half, "test")) for half in HALVES}
        self.training = {half: self._scenes(frames_of(manifest, half, "train")) for half in HALVES}
        self.seen = {half: self._scenes(seen_frames(manifest, half)) for half in HALVES}

    def _scenes(self, frames) -> Scenes:
        return Scenes(frames, STYLE_CAMERA, self.encoders)

    @cached_property
    def start(self) -> DiffV2IRPipeline:
        """The shipped UNet after phase 2, which has never seen this camera."""
        return pipeline_of(self.profile, self.parts, start_unet(self.profile, self.phase, self.parts, None, 0))

    @cached_property
    def start_hash(self) -> str:
        """Of the start and of all frozen parts."""
        return fingerprint(weights_fingerprint(self.start.unet), folder_hash(sorted(set(self.parts.values()))))

    def train(self, half: str, steps: int, seed: int) -> tuple[DiffV2IRPipeline, dict]:
        """Phase 3 on a half's training frames: the model, and what `train_phase` says of its training."""
        frames = self.training[half].pack.fingerprint()
        made_from = fingerprint(frames, asdict(self.phase), steps, seed, self.start_hash)
        out = cache_dir() / "evaluation" / "table1" / f"{half}-{steps}-{seed}-{made_from[:12]}"
        options = Options(out, manifest=self.manifest, split=f"{half}-train", steps=steps, seed=seed, device="cpu")
        record = train_phase("phase3", options)
        frozen = {name: part for name, part in self.start.components.items() if name not in ("unet", "scheduler")}
        return DiffV2IRPipeline.from_pretrained(out, **frozen), record

    def answers(self, pipeline: DiffV2IRPipeline, scenes: Scenes) -> np.ndarray:
        """Translations with the profile's default guidance, uint8 (N, h, w)."""
        return translate(pipeline, scenes, asdict(self.profile.guidance), NOISE_SEED)


@dataclass
class Trained:
    """What the models answered; every list has one entry a training seed."""

    scores: dict[tuple[str, str], list[Scores]] = field(default_factory=dict)  # (half trained on, half tested) → …
    losses: dict[str, list[float]] = field(default_factory=dict)  # half → mean loss of the last 100 steps
    # of the first seed only:
    pictures: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)  # translations of the test frames
    seen: dict[str, Scores] = field(default_factory=dict)  # half → scores of frames that the model was trained on


def train_all(experiment: Experiment, steps: int, seeds: Sequence[int]) -> Trained:
    """Train on each half with each seed; every model translates the test frames of both halves."""
    found = Trained()
    jobs = [(seed, half) for seed in seeds for half in HALVES]
    for seed, half in tqdm(jobs, desc=f"trainings of {steps} steps", unit="training"):
        pipeline, record = experiment.train(half, steps, seed)
        found.losses.setdefault(half, []).append(record["loss"])
        for tested, scenes in experiment.test.items():
            pictures = experiment.answers(pipeline, scenes)
            found.pictures.setdefault((half, tested), pictures)
            found.scores.setdefault((half, tested), []).append(score(pictures, scenes.infrared))
        if half not in found.seen:
            seen = experiment.seen[half]
            found.seen[half] = score(experiment.answers(pipeline, seen), seen.infrared)
    return found
