"""How much memory a training phase takes on a GPU, computed before a GPU is bought, and the ways down.

    weights      4 bytes a parameter, trained or not
    gradients    4 bytes a trained parameter
    moments      8 bytes a trained parameter, AdamW's two; 2.03 in 8 bits (one byte each, one float per 256 of them;
                 the few weights of less than 4096 numbers keep theirs in 32)
    average      4 bytes a trained parameter (EMA)
    copies       2 bytes a parameter under bf16 autocast, which keeps a copy of each weight
    activations  what autograd keeps for the backward pass, counted by `saved`, times the batch; with gradient
                 checkpointing what is kept between blocks, and once more all of the largest block
    update       4 bytes a trained parameter: AdamW's intermediate values (torch's default on a GPU; 8-bit AdamW works
                 in place). By then activations and copies are gone, so only the larger of the two counts
    overhead     1 GB: the CUDA context, and the libraries' workspaces

Latents and texts are cached, so neither the autoencoder nor CLIP is on the GPU. The sum is a bound: gradients grow
while activations shrink. A tenth of a card is left free, for fragments and whatever else is on it. GB are 10^9 bytes.
Nothing here is measured; `benchmarks/full_size.py` measures where there is a GPU.
"""

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from tqdm.auto import tqdm

from v2ir_lib.diffusion.lora import add_lora
from v2ir_lib.diffusion.saved import Saved, count_saved
from v2ir_lib.profiles import Profile

OVERHEAD = 1_000_000_000
SHARE = 0.9  # of a card that may be filled
UNITS = (ResnetBlock2D, BasicTransformerBlock)  # what diffusers checkpoints
TOKENS = 77
PHASES = ("phase1", "phase2", "phase3")


@dataclass(frozen=True)
class Way:
    """How a phase is trained, as far as memory is concerned. The defaults are the largest."""

    mixed: bool = False  # bf16 autocast
    checkpointing: bool = False  # activations inside blocks are computed again, about a third more time
    adam_bits: int = 32  # or 8
    average: bool = True  # the EMA on the GPU; else it waits in the CPU's memory
    lora_rank: int = 0  # > 0: only LoRA matrices, and the first convolution where it has new channels

    @property
    def switches(self) -> list[str]:
        """What `v2ir train` is told (`plm.command`)."""
        wanted = {
            "--mixed-precision bf16": self.mixed,
            "--gradient-checkpointing": self.checkpointing,
            "--optimizer adamw8bit": self.adam_bits == 8,
            "--ema-on-cpu": not self.average,
            f"--lora {self.lora_rank}": self.lora_rank,
        }
        return [switch for switch, on in wanted.items() if on]


@dataclass(frozen=True)
class Memory:
    """Bytes, by what they are for."""

    weights: int
    gradients: int
    moments: int
    average: int
    copies: int
    activations: int
    update: int
    overhead: int = OVERHEAD

    @property
    def total(self) -> int:
        fixed = self.weights + self.gradients + self.moments + self.average + self.overhead
        return fixed + max(self.copies + self.activations, self.update)


# From the plainest to the leanest; each is taken where the one before does not fit.
LADDER = (
    Way(),
    Way(mixed=True),
    Way(mixed=True, checkpointing=True),
    Way(mixed=True, average=False),
    Way(mixed=True, checkpointing=True, average=False),
    Way(mixed=True, checkpointing=True, average=False, adam_bits=8),
    Way(mixed=True, checkpointing=True, lora_rank=16),
)
CARDS = (80, 40, 24, 16, 12)  # GB


def of_parameters(parameters: int, trained: int, way: Way, activations: int = 0) -> Memory:
    """Bytes from counts: of all parameters, of the trained ones, and of activations."""
    moment_bytes = {32: 2 * 4 * trained, 8: 2 * (trained + 4 * -(-trained // 256))}[way.adam_bits]
    return Memory(
        weights=4 * parameters,
        gradients=4 * trained,
        moments=moment_bytes,
        average=4 * trained if way.average else 0,
        copies=2 * parameters if way.mixed else 0,
        activations=activations,
        update=4 * trained if way.adam_bits == 32 else 0,
    )


def of_phase(profile: Profile, phase: str, batch: int, way: Way) -> Memory:
    """Bytes for a phase ("phase1", …) at a batch size; a phase that trains LoRA does so whatever the way says."""
    settings = getattr(profile, phase)
    way = replace(way, lora_rank=settings.lora_rank or way.lora_rank)
    channels = 4 if phase == "phase1" else 12
    factor = 2 ** (len(profile.autoencoder["block_out_channels"]) - 1)
    network = _Network(json.dumps(profile.unet), channels, profile.image_size // factor, way.lora_rank)
    parameters, trained = network.counts()
    return of_parameters(parameters, trained, way, batch * network.activations(way.mixed, way.checkpointing))


def largest_batch(profile: Profile, phase: str, way: Way, gigabytes: float) -> int:
    """The most samples at a time that fit in `SHARE` of a card; 0 where not even one does."""
    one = of_phase(profile, phase, 1, way)
    if one.total > SHARE * gigabytes * 1e9:
        return 0
    room = SHARE * gigabytes * 1e9 - (one.total - max(one.copies + one.activations, one.update)) - one.copies
    return int(room // one.activations)


def way_down(profile: Profile, phase: str, gigabytes: float, least: int = 4) -> tuple[Way, int] | None:
    """The first way of the ladder that fits `least` samples, else the first that fits any, and how many; or None."""
    fits = [(way, largest_batch(profile, phase, way, gigabytes)) for way in LADDER]
    for enough in (least, 1):
        for way, batch in fits:
            if batch >= enough:
                return way, batch
    return None


def table(profile: Profile, batches: tuple[int, ...] = (1, 4, 16, 32)) -> dict:
    """Everything as plain data: phase × way × batch in GB by what it is for, and a way down to each card."""
    rows = []
    for phase in PHASES:
        for way in tqdm(LADDER, desc=f"counting {phase}", unit="way"):
            if getattr(profile, phase).lora_rank and (way.lora_rank or way.adam_bits == 8 or not way.average):
                continue  # next to nothing to save there: 3 M parameters train
            for batch in batches:
                memory = of_phase(profile, phase, batch, way)
                parts = {name: round(size / 1e9, 3) for name, size in asdict(memory).items()}
                rows.append(
                    {"phase": phase, "batch": batch, "switches": way.switches, **parts, "total": _gb(memory.total)}
                )
    down = []
    for card in CARDS:
        for phase in PHASES:
            found = way_down(profile, phase, card)
            way, batch = found if found else (None, 0)
            down.append(
                {"card_gb": card, "phase": phase, "fits": bool(found), "batch": batch}
                | ({"switches": way.switches, "total": _gb(of_phase(profile, phase, batch, way).total)} if way else {})
            )
    return {"basis": "computed", "unit": "GB, 10^9 bytes", "rows": rows, "ways_down": down, "share_of_a_card": SHARE}


@dataclass(frozen=True)
class _Network:
    """A UNet as a phase trains it, known by its shapes alone. Hashable, so that each is counted once."""

    config: str  # JSON
    channels: int
    side: int  # of the latent
    rank: int

    def build(self) -> UNet2DConditionModel:
        unet = UNet2DConditionModel.from_config(json.loads(self.config) | {"in_channels": self.channels}).train()
        if self.rank:
            add_lora(unet, self.rank)
            unet.conv_in.requires_grad_(self.channels > 4)
        return unet

    @lru_cache(maxsize=64)  # noqa: B019, a frozen description, not an object with memory of its own
    def counts(self) -> tuple[int, int]:
        """(all parameters, trained ones)."""
        with torch.device("meta"):
            parameters = list(self.build().parameters())
        return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)

    @lru_cache(maxsize=64)  # noqa: B019
    def activations(self, mixed: bool, checkpointing: bool) -> int:
        """Bytes a sample: what two samples keep more than one, for copies of weights are kept once."""

        def a_sample(checkpointing: bool, of: str) -> int:
            one, two = (getattr(self._saved(batch, mixed, checkpointing), of) for batch in (1, 2))
            return two - one

        if checkpointing:
            return a_sample(True, "total") + a_sample(False, "largest_unit")
        return a_sample(False, "total")

    @lru_cache(maxsize=64)  # noqa: B019
    def _saved(self, batch: int, mixed: bool, checkpointing: bool) -> Saved:
        config = json.loads(self.config)

        def build() -> UNet2DConditionModel:
            unet = self.build()
            if checkpointing:
                unet.enable_gradient_checkpointing()
            return unet

        def run(unet: UNet2DConditionModel):
            z = torch.randn(batch, self.channels, self.side, self.side)
            text = torch.randn(batch, TOKENS, config["cross_attention_dim"])
            return unet(z, torch.zeros(batch, dtype=torch.long), encoder_hidden_states=text).sample

        return count_saved(build, run, mixed=mixed, units=UNITS)


def _gb(size: int) -> float:
    return round(size / 1e9, 2)
