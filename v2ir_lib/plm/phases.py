"""The three phases of the Progressive Learning Module, as data (paper §3.3).

All three minimise the same loss (Eq. 1) with the same loop. What differs between them is written here, and only here.
"""

from dataclasses import dataclass
from typing import Literal

from v2ir_lib.errors import UserError
from v2ir_lib.profiles import PhaseSettings, Profile
from v2ir_lib.world.cameras import STYLE_CAMERA, TRAIN_CAMERAS


@dataclass(frozen=True)
class Phase:
    """One phase: its data, what it may change, what the model is told, and for how long.

    `prompt` is a template: with "{caption}" it needs captions; without, every picture gets the same words.
    `conditions` are the pictures joined to the noisy latent: () or ("visible", "segments").
    """

    name: str
    profile: str  # the name of the profile whose settings it has
    pack: str  # of v2ir_lib.world.packs
    cameras: tuple[str, ...]
    trains: Literal["lora", "all"]
    prompt: str
    conditions: tuple[str, ...]
    dropout: float  # width u of each bin in which conditions go missing, see `diffusion.conditions`
    crops: int  # cached crops of each picture, one of which is drawn for a sample
    looks: int  # cached infrared pictures of each crop, each by another of the cameras; one is drawn
    prediction: str  # what the network answers, see `diffusion.noising`
    noise_offset: float  # of eps, see there too
    settings: PhaseSettings

    @property
    def needs_captions(self) -> bool:
        return "{caption}" in self.prompt

    @property
    def in_channels(self) -> int:
        """Channels that the UNet reads: the noisy latent's 4, and 4 for each picture beside it."""
        return 4 * (1 + len(self.conditions))


PHASES = ("phase1", "phase2", "phase3")


def get_phase(name: str, profile: Profile) -> Phase:
    """The phase of that name at a profile's size; `UserError` for any other name."""
    settings = {"phase1": profile.phase1, "phase2": profile.phase2, "phase3": profile.phase3}.get(name)
    both = {"prediction": profile.prediction, "noise_offset": profile.noise_offset, "settings": settings}
    pairs = {"trains": "all", "prompt": profile.prompt, "conditions": ("visible", "segments")}
    if name == "phase1":  # what does "infrared" mean? No pairs needed, and no condition but the prompt, never dropped
        alone = {"trains": "lora", "prompt": profile.phase1_prompt, "conditions": (), "dropout": 0.0}
        return Phase(name, profile.name, "infrared", tuple(TRAIN_CAMERAS), **alone, crops=1, looks=4, **both)
    if name == "phase2":  # from visible to infrared, in any camera's look
        pairs["dropout"] = settings.dropout
        return Phase(name, profile.name, "pairs", tuple(TRAIN_CAMERAS), **pairs, crops=4, looks=3, **both)
    if name == "phase3":  # one camera's style, from few pairs
        pairs["dropout"] = settings.dropout
        return Phase(name, profile.name, "style", (STYLE_CAMERA,), **pairs, crops=4, looks=1, **both)
    raise UserError(f"unknown phase {name!r}: choose one of {', '.join(PHASES)}")
