"""One training loop for all three phases, to be read from top to bottom.

The loss is that of latent diffusion (paper Eq. 1):

    L = E ‖eps − eps_theta(z_t, t, c)‖²   with   z_t = √ᾱ_t · z_0 + √(1 − ᾱ_t) · eps

z_0 is the latent of an infrared picture, t is uniform in 0…999, eps is standard normal noise, and c is what the phase
tells the model: a prompt, and from phase 2 on the latents of the visible picture and of its segment map. A profile
may ask the network for v in place of eps, and weight errors by how noisy each sample is: `diffusion.noising` has both.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from tqdm.auto import tqdm

from v2ir_lib.diffusion.conditions import Conditions, dropout_bins
from v2ir_lib.diffusion.latents import target_from_moments
from v2ir_lib.diffusion.noising import add_noise, min_snr_weights, question
from v2ir_lib.diffusion.sampling import make_scheduler
from v2ir_lib.diffusion.widening import unet_input
from v2ir_lib.errors import UserError
from v2ir_lib.plm.cache import weights_fingerprint
from v2ir_lib.plm.checkpoint import check_resumable, check_shapes, load_newest, save_checkpoint
from v2ir_lib.plm.dataset import PhaseData
from v2ir_lib.plm.draws import Batch, draw_batch
from v2ir_lib.plm.interruption import deferred_interruption
from v2ir_lib.plm.phases import Phase
from v2ir_lib.profiles import PhaseSettings

CLIP_NORM = 1.0
WEIGHT_DECAY = 0.01


@dataclass
class Progress:
    """Where a run is, and how it went there."""

    step: int = 0  # steps done
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # one a step
    trained_parameters: int = 0


class Loss:
    """Eq. 1 for a batch, as the mean over all numbers of a latent. Holds what does not change between steps."""

    def __init__(self, phase: Phase, scaling_factor: float, null_text: torch.Tensor):
        self.phase = phase
        self.scaling_factor = scaling_factor  # the autoencoder's own, measured
        self.null_text = null_text  # the encoding of "", (1, L, D)
        self.alpha_bar = make_scheduler().alphas_cumprod

    def __call__(self, unet: UNet2DConditionModel, batch: Batch) -> torch.Tensor:
        z_0 = target_from_moments(batch.infrared, self.scaling_factor, batch.posterior_noise)
        alpha_bar = self.alpha_bar.to(z_0.device)[batch.timesteps].reshape(-1, 1, 1, 1)
        z_t = add_noise(z_0, batch.eps, alpha_bar)
        text = batch.text
        if self.phase.conditions:  # z, visible, segments: 12 channels; some conditions go missing, for Eq. 2
            given = Conditions(batch.text, batch.visible, batch.segments)
            given = given.drop(self.null_text.to(z_0.device), **dropout_bins(batch.dropout, self.phase.dropout))
            z_t, text = unet_input(z_t, given.visible, given.segments), given.text
        answer = unet(z_t, batch.timesteps, encoder_hidden_states=text).sample
        asked = question(z_0, batch.eps, alpha_bar, self.phase.prediction)
        errors = (answer - asked).square().mean(dim=(1, 2, 3))
        weights = min_snr_weights(alpha_bar.flatten(), self.phase.settings.snr_gamma, self.phase.prediction)
        return (weights * errors).mean()


class Average:
    """Exponential moving average of the trained weights, a ← d·a + (1 − d)·p, which is what samples best.

    With a warm-up, d = min(decay, (1 + n) / (10 + n)) after n steps; without it the first weights would still make up
    0.999^500 = 60% of the average after 500 steps.
    """

    def __init__(self, weights: dict[str, torch.nn.Parameter], decay: float):
        self.decay = decay
        self.values = {name: weight.detach().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def update(self, weights: dict[str, torch.nn.Parameter], step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), [w.detach() for w in weights.values()], 1 - decay)


def trained_weights(unet: UNet2DConditionModel) -> dict[str, torch.nn.Parameter]:
    """The parameters that this phase changes, by name: those that ask for a gradient."""
    return {name: parameter for name, parameter in unet.named_parameters() if parameter.requires_grad}


def make_optimiser(weights: dict[str, torch.nn.Parameter], settings: PhaseSettings) -> torch.optim.AdamW:
    """AdamW in one or two groups: the first convolution learns `first_rate` times as fast as all the rest.

    Its new channels begin at zero, and as cameras differ in polarity, their gradients hardly agree between steps.
    """
    first = [weight for name, weight in weights.items() if name.startswith("conv_in.")]
    rest = [weight for name, weight in weights.items() if not name.startswith("conv_in.")]
    groups = [(rest, settings.learning_rate), (first, settings.learning_rate * settings.first_rate)]
    return torch.optim.AdamW([{"params": some, "lr": lr} for some, lr in groups if some], weight_decay=WEIGHT_DECAY)


def train(
    unet: UNet2DConditionModel,
    phase: Phase,
    data: PhaseData,
    loss: Loss,
    *,
    seed: int,
    folder: Path,
    device: str = "cpu",
    until: int | None = None,
    seconds_between_checkpoints: float = 120.0,
    after_step: Callable[[Progress], None] | None = None,
) -> Progress:
    """Train `unet` in place for `phase.settings.steps` steps and leave the averaged weights in it.

    Its parameters that ask for a gradient are trained, all others stay as they are. Checkpoints go to `folder`; a run
    that was stopped goes on from the newest, and on a CPU ends in the bytes of an uninterrupted one. `until` stops
    earlier, after a checkpoint, with the weights not averaged. Raises `UserError` for a folder of another run, and for
    a loss that is not a number (the last checkpoint stays as it is). Ctrl-C and SIGTERM
    save, then raise `KeyboardInterrupt`.
    """
    settings = phase.settings
    unet.to(device).train()
    weights = trained_weights(unet)
    optimiser = make_optimiser(weights, settings)
    rates = [group["lr"] for group in optimiser.param_groups]
    average = Average(weights, settings.ema_decay)
    identity = {
        "phase": phase.name,
        "prediction": phase.prediction,
        "noise_offset": phase.noise_offset,
        "seed": seed,
        "settings": asdict(settings),
        "began_with": weights_fingerprint(unet),
    }
    progress = resume(folder, identity, weights, average, optimiser)
    progress.trained_parameters = sum(weight.numel() for weight in weights.values())

    begun = saved = time.monotonic()
    earlier = progress.seconds
    last = settings.steps if until is None else until
    bar = tqdm(total=settings.steps, initial=progress.step, desc=phase.name, unit="step", mininterval=1.0)
    with deferred_interruption() as interrupted, bar:
        for step in range(progress.step, last):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * min(1, (step + 1) / (settings.warmup_steps + 1))
            value = loss(unet, draw_batch(data, phase, seed, step).to(device))
            if not math.isfinite(value.item()):
                raise UserError(
                    f"{phase.name}: the loss became {value.item()} at step {step}; lower the learning rate or look for "
                    "bad data, then run again: it goes on from the last checkpoint"
                )
            value.backward()
            torch.nn.utils.clip_grad_norm_(weights.values(), CLIP_NORM)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            average.update(weights, step + 1)

            progress.step = step + 1
            progress.losses.append(round(value.item(), 6))
            progress.seconds = earlier + time.monotonic() - begun
            bar.update()
            bar.set_postfix(loss=f"{sum(progress.losses[-50:]) / len(progress.losses[-50:]):.4f}", refresh=False)
            if after_step is not None:
                after_step(progress)
            if interrupted.is_set():
                save(folder, progress, identity, weights, average, optimiser)
                raise KeyboardInterrupt(f"{phase.name}: saved at step {step + 1}; the same command goes on from there")
            if time.monotonic() - saved > seconds_between_checkpoints:
                save(folder, progress, identity, weights, average, optimiser)
                saved = time.monotonic()
    save(folder, progress, identity, weights, average, optimiser)
    if progress.step >= settings.steps:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(average.values[name])
    unet.eval()
    return progress


def save(folder: Path, progress: Progress, identity: dict, weights: dict, average: Average, optimiser) -> None:
    """A checkpoint of everything that the next step depends on: weights, their average, AdamW's moments, the step."""
    tensors = {}
    for name, weight in weights.items():
        tensors[f"weights/{name}"] = weight
        tensors[f"average/{name}"] = average.values[name]
        for moment in ("exp_avg", "exp_avg_sq"):
            if weight in optimiser.state:
                tensors[f"{moment}/{name}"] = optimiser.state[weight][moment]
    facts = {**identity, "seconds": progress.seconds, "losses": progress.losses}
    save_checkpoint(folder, progress.step, tensors, facts)


def resume(folder: Path, identity: dict, weights: dict, average: Average, optimiser) -> Progress:
    """Put the newest intact checkpoint back into weights, average and optimiser; without one, begin."""
    found = load_newest(folder)
    if found is None:
        return Progress()
    tensors, facts = found
    check_resumable(facts, identity, folder)
    check_shapes(tensors, {f"weights/{name}": weight for name, weight in weights.items()}, folder)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(tensors[f"weights/{name}"])
            average.values[name].copy_(tensors[f"average/{name}"])
            if f"exp_avg/{name}" in tensors:
                moments = {m: torch.empty_like(weight).copy_(tensors[f"{m}/{name}"]) for m in ("exp_avg", "exp_avg_sq")}
                optimiser.state[weight] = {"step": torch.tensor(float(facts["step"]))} | moments
    return Progress(facts["step"], facts["seconds"], facts["losses"])
