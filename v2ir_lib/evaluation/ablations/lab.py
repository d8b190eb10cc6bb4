"""What all rows share: weights to start from, scenes, and what the UNet is told of them; each prepared once.

Everything costly has a key, a hash of all that decides it: weights, scenes, settings, seed, flags. The code that turns
one into the other is not hashed; `ENGINE` stands for it.
"""

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.folders import pipeline_hash
from v2ir_lib.diffusion.full import find_part
from v2ir_lib.evaluation.ablations.budgets import Budget
from v2ir_lib.evaluation.ablations.rows import Row, Stage, Told, last_stage
from v2ir_lib.evaluation.ablations.telling import pictures_of, text_of
from v2ir_lib.evaluation.regression import SHAPE, picture_data
from v2ir_lib.evaluation.scenes import Scenes
from v2ir_lib.files import cache_dir, repo_root
from v2ir_lib.plm.cache import fingerprint
from v2ir_lib.plm.dataset import PhaseData
from v2ir_lib.plm.phases import Phase, get_phase
from v2ir_lib.plm.prepare import Encoders, infrared_moments
from v2ir_lib.plm.start import frozen_parts
from v2ir_lib.profiles import TINY, Profile
from v2ir_lib.weights import folder_hash
from v2ir_lib.world.cameras import STYLE_CAMERA
from v2ir_lib.world.packs import PACKS, VERSION, load_pack

ENGINE = 1  # raise it when the same flags give other figures
AVERAGED = 0.995  # phase 2's moving average: over 200 steps, for a run of 1,500 in place of the profile's 5,000


@dataclass
class Lab:
    """The shared parts of one budget's experiments."""

    budget: Budget
    profile: Profile = TINY
    _kept: dict = field(default_factory=dict)  # packs and infrared latents, 200 MB at most

    @cached_property
    def encoders(self) -> Encoders:
        """The frozen models in front of the UNet, as shipped."""
        parts = frozen_parts(self.profile, get_phase("phase2", self.profile))
        return Encoders(self.profile, parts, workers=torch.get_num_threads())

    @property
    def shipped(self) -> Path:
        """The shipped pipeline's folder."""
        return repo_root() / self.profile.sources.pipeline

    @property
    def base(self) -> Path:
        """The text-to-image model that every training begins from."""
        return find_part(self.profile, "unet")

    @property
    def pixels(self) -> int:
        """Of a picture's side, in one of a latent's."""
        return self.profile.image_size // self.profile.unet["sample_size"]

    @cached_property
    def weights(self) -> dict[str, str]:
        """Hashes of all that a trained row starts from, by folder."""
        folders = [self.base, *set(self.encoders.models.values())]
        return {folder.name: folder_hash(folder) for folder in sorted(folders)}

    @cached_property
    def shipped_hash(self) -> str:
        """Of the shipped pipeline with all of its parts."""
        return pipeline_hash(self.shipped)

    @cached_property
    def heldout(self) -> Scenes:
        """The scenes that are translated and scored, in the style camera's look; no training sees them."""
        return Scenes(load_pack("heldout", limit=self.budget.heldout), STYLE_CAMERA, self.encoders)

    def phase(self, stage: Stage) -> Phase:
        """The settings of a stage: the profile's, but for the number of steps and what depends on it.

        Where phase 3 is the first to see pairs, its visible channels begin at zero, and it learns at phase 2's rates:
        at its own it would hardly move them, and the row would lose for want of a setting.
        """
        phase = get_phase(stage.phase, self.profile)
        changes: dict = {"steps": self.budget.steps[stage.phase]}
        if stage.phase == "phase2":
            changes["ema_decay"] = AVERAGED
        if stage.phase == "phase3" and stage.begins_with_pairs:
            rates = self.profile.phase2
            changes |= {"learning_rate": rates.learning_rate, "first_rate": rates.first_rate}
        if stage.network == "regression":  # its windows are of pixels, and none of its channels is new
            changes |= {"window": phase.settings.window * self.pixels, "first_rate": 1.0}
        return replace(phase, settings=replace(phase.settings, **changes))

    def stage_key(self, stage: Stage) -> str:
        """Of all that decides the weights which a stage leaves."""
        before = self.stage_key(stage.after) if stage.after else fingerprint(ENGINE, sorted(self.weights.items()))
        phase, count = self.phase(stage), self.budget.scenes
        network = stage.network if stage.network == "diffusion" else (stage.network, sorted(SHAPE.items()))
        return fingerprint(before, asdict(phase), stage.told, network, stage.seed, _pack(phase.pack, count))

    def row_key(self, row: Row, seed: int) -> str:
        """Of all that decides a row's figures."""
        stage = last_stage(row, seed)
        model = self.stage_key(stage) if stage else fingerprint(ENGINE, self.shipped_hash)
        return fingerprint(model, row.told, row.guidance, row.network, seed, _pack("heldout", self.budget.heldout))

    def folder(self, stage: Stage) -> Path:
        """Where a stage is trained, and what it leaves is kept."""
        return cache_dir() / "evaluation" / "ablations" / f"{stage.phase}-{stage.seed}-{self.stage_key(stage)[:16]}"

    def data(self, stage: Stage) -> PhaseData:
        """What a stage learns from; what rows share of it stays in memory."""
        phase, encoders = self.phase(stage), self.encoders
        pack = self._once(("pack", phase.pack), lambda: load_pack(phase.pack, limit=self.budget.scenes))
        if stage.network == "regression":
            return picture_data(pack, phase, encoders)
        moments = self._once(("infrared", phase.name), lambda: infrared_moments(pack, phase, encoders))
        if stage.told is None:
            return PhaseData(moments, None, None, encoders.text([phase.prompt]))
        text = text_of(stage.told.words, pack, self.profile.prompt, encoders)
        return PhaseData(moments, *pictures_of(stage.told.maps, pack, phase, encoders), text)

    def known(self, told: Told) -> Conditions:
        """The same of the held-out scenes, of whole pictures: what sampling is given."""
        pack, whole = self.heldout.pack, replace(get_phase("phase3", self.profile), crops=1)
        pictures = pictures_of(told.maps, pack, whole, self.encoders)
        visible, segments = (torch.from_numpy(latents[:, 0].astype("float32")) for latents in pictures)
        text = text_of(told.words, pack, self.profile.prompt, self.encoders)
        return Conditions(text.expand(len(visible), -1, -1), visible, segments)

    def _once(self, key: tuple, make):
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def _pack(name: str, limit: int | None) -> tuple:
    """What stands for a pack's scenes: they are made from these."""
    return name, PACKS[name], VERSION, limit
