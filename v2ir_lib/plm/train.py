"""One training loop for all three phases, to be read from top to bottom.

A step draws its samples, asks the loss (`loss.py`, Eq. 1) how wrong the UNet is, and lets AdamW change the weights
that the phase trains; an average follows them (`average.py`). accelerate carries it to GPUs, to bf16 and to several
processes (`processes.py`): each computes its share of the same samples, and their gradients are averaged. Whatever
happens in between, the last checkpoint (`state.py`) is whole.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from matplotlib.figure import Figure

from v2ir_lib.errors import UserError
from v2ir_lib.plm.average import Average
from v2ir_lib.plm.cache import weights_fingerprint
from v2ir_lib.plm.dataset import PhaseData
from v2ir_lib.plm.draws import draw_batch
from v2ir_lib.plm.interruption import deferred_interruption
from v2ir_lib.plm.log import Log
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.optimiser import ADAMW, check_optimiser, make_optimiser
from v2ir_lib.plm.phases import Phase
from v2ir_lib.plm.processes import agree, check_whole, make_accelerator, shares
from v2ir_lib.plm.state import Progress, State

CLIP_NORM = 1.0


def trained_weights(unet: UNet2DConditionModel) -> dict[str, torch.nn.Parameter]:
    """The parameters that this phase changes, by name: those that ask for a gradient."""
    return {name: parameter for name, parameter in unet.named_parameters() if parameter.requires_grad}


def check_possible(accelerator, optimizer: str, ema_on_cpu: bool) -> None:
    """`UserError` where these processes, on their device, cannot train with that optimiser, or with that average."""
    if optimizer != ADAMW or ema_on_cpu:
        check_whole(accelerator, "8-bit moments, or an average on the CPU,")
    check_optimiser(optimizer, accelerator.device)


def train(
    unet: UNet2DConditionModel,
    phase: Phase,
    data: PhaseData,
    loss: Loss,
    *,
    seed: int,
    folder: Path,
    device: str = "cpu",
    mixed_precision: str = "no",
    optimizer: str = ADAMW,
    ema_on_cpu: bool = False,
    until: int | None = None,
    seconds_between_checkpoints: float = 120.0,
    log_dir: str | Path | None = None,
    every: int = 0,
    draw: Callable[[UNet2DConditionModel], Figure] | None = None,
    after_step: Callable[[Progress], None] | None = None,
    about: dict | None = None,
) -> Progress:
    """Train `unet` in place for `phase.settings.steps` steps and leave the averaged weights in it.

    Its parameters that ask for a gradient are trained, all others stay as they are. Checkpoints go to `folder`; a run
    that was stopped goes on from the newest, and on a CPU ends in the bytes of an uninterrupted one. `until` stops
    earlier, after a checkpoint, with the weights not averaged. mixed_precision: "no", "bf16" or "fp16"; optimizer: one
    of `OPTIMISERS`; `ema_on_cpu` keeps the average out of a GPU's memory. With `log_dir` TensorBoard's files go there,
    and every `every` steps the sheet that `draw` makes with the averaged weights. `about` names what else tells this
    run from others (its data), for its checkpoints.

    Raises `UserError` for a folder of another run, for an optimiser that cannot be had, and for a loss that is not a
    number (the last checkpoint stays as it is). Ctrl-C and SIGTERM save, then raise `KeyboardInterrupt`.
    """
    settings = phase.settings
    accelerator = make_accelerator(device, mixed_precision)
    check_possible(accelerator, optimizer, ema_on_cpu)
    processes = accelerator.num_processes
    mine = shares(settings.batch_size, settings.accumulation, accelerator.process_index, processes)
    identity = {
        "profile": phase.profile,
        "phase": phase.name,
        "input": [phase.in_channels, *data.latent_shape[1:]],
        "prediction": phase.prediction,
        "noise_offset": phase.noise_offset,
        "seed": seed,
        "settings": asdict(settings),
        "began_with": weights_fingerprint(unet),
        **(about or {}),
        **({} if optimizer == ADAMW else {"optimizer": optimizer}),
    }

    optimiser = make_optimiser(trained_weights(unet.train()), settings, optimizer)
    rates = [group["lr"] for group in optimiser.param_groups]
    model, optimiser = accelerator.prepare(unet, optimiser)  # on its device, in its precision, in step with the others
    unet = accelerator.unwrap_model(model)
    weights = trained_weights(unet)
    average = Average(weights, settings.ema_decay, "cpu" if ema_on_cpu else None)
    state = State(
        Path(folder), identity, weights, average, optimiser, accelerator.scaler, writes=accelerator.is_main_process
    )
    progress = state.resume()

    begun = saved = time.monotonic()
    earlier = progress.seconds
    last = settings.steps if until is None else until
    log = Log(phase, progress, log_dir, speaks=accelerator.is_main_process)
    with deferred_interruption() as interrupted, log:
        for step in range(progress.step, last):
            warm = min(1, (step + 1) / (settings.warmup_steps + 1))
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * warm

            value = torch.zeros((), device=accelerator.device)
            for number, samples in enumerate(mine, start=1):  # more than one part: their gradients add up
                batch = draw_batch(data, phase, seed, step, samples).to(accelerator.device)
                with nullcontext() if number == len(mine) else accelerator.no_sync(model):
                    # a mean over these samples → their part in the whole batch's, where processes are then averaged
                    part = loss(model, batch) * (len(samples) * processes / settings.batch_size)
                    accelerator.backward(part)
                value += part.detach()
            due = time.monotonic() - saved > seconds_between_checkpoints
            value, stopping, due = agree(accelerator, value, interrupted.is_set(), due)
            if not math.isfinite(value):
                raise UserError(
                    f"{phase.name}: the loss became {value} at step {step}; lower the learning rate or look for "
                    "bad data, then run again: it goes on from the last checkpoint"
                )
            norm = accelerator.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            average.update(weights, step + 1)

            progress.step = step + 1
            progress.losses.append(round(value, 6))
            progress.seconds = earlier + time.monotonic() - begun
            log.step(progress, rates[0] * warm, norm)
            if after_step is not None:
                after_step(progress)
            if every and draw is not None and progress.step % every == 0:
                with average.in_place_of(weights):
                    log.figure(progress.step, draw(unet.eval()))
                unet.train()
            if stopping or (interrupted.is_set() and processes == 1):  # alone, there is no one to ask
                state.save(progress)
                raise KeyboardInterrupt(f"{phase.name}: saved at step {step + 1}; the same command goes on from there")
            if due:
                state.save(progress)
                saved = time.monotonic()
    state.save(progress)
    if progress.step >= settings.steps:
        average.copy_to(weights)
    accelerator.wait_for_everyone()
    for wrapper in ("forward", "_original_forward"):  # of mixed precision; accelerate's own way takes off too much
        vars(unet).pop(wrapper, None)
    unet.eval()
    return progress
