"""Stable Diffusion v1.5's own shapes with random weights: does a step of training and of sampling run, in what memory?

    python benchmarks/full_size.py                   about 15 GB of memory and some minutes on two cores
    python benchmarks/full_size.py --narrow 8        an eighth of the width, in seconds

On the CPU: pictures and words encoded, one step of AdamW on the 12-channel UNet at 256 pixels without EMA, and one step
of guided sampling with three branches; seconds and memory of each. Where there is a CUDA GPU also images a second in
bf16, with and without torch.compile, and the largest batch within 24, 40 and 80 GB. Writes results/full_size.json.
"""

import argparse
import contextlib
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from tqdm.auto import tqdm
from transformers import CLIPTextConfig, CLIPTextModel

from v2ir_lib.diffusion.conditions import Conditions
from v2ir_lib.diffusion.guidance import branches
from v2ir_lib.diffusion.latents import condition_from_moments, moments, target_from_moments
from v2ir_lib.diffusion.memory import Way, of_parameters
from v2ir_lib.diffusion.noising import add_noise, question
from v2ir_lib.diffusion.sampling import make_scheduler, sample
from v2ir_lib.diffusion.widening import unet_input, widen
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.profiles import FULL, Profile

SEED = 0
WARM_UP, TIMED = 3, 10  # steps on a GPU
CARDS = (24, 40, 80)  # GB


def narrowed(profile: Profile, n: int) -> Profile:
    """The same shapes at an n-th of the width; n is 1, 2, 4 or 8."""
    unet, vae, text = profile.unet, profile.autoencoder, profile.text_encoder
    groups = {"norm_num_groups": 32 // n}
    return replace(
        profile,
        unet=unet
        | groups
        | {
            "block_out_channels": tuple(width // n for width in unet["block_out_channels"]),
            "cross_attention_dim": unet["cross_attention_dim"] // n,
        },
        autoencoder=vae | groups | {"block_out_channels": tuple(width // n for width in vae["block_out_channels"])},
        text_encoder=text
        | {name: text[name] // n for name in ("hidden_size", "intermediate_size", "projection_dim")}
        | {"num_attention_heads": text["num_attention_heads"] // min(n, 4)},
    )


class Watch:
    """Seconds, and the most memory that the process had meanwhile, looked up fifty times a second."""

    def __enter__(self):
        self._process, self._over = psutil.Process(), threading.Event()
        self.before = self.peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self._started
        self._over.set()
        self._thread.join()

    def _look(self):
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss)
            if self._over.wait(0.02):
                return

    def report(self) -> dict:
        return {
            "seconds": round(self.seconds, 2),
            "peak_memory_gb": round(self.peak / 1e9, 2),
            "memory_before_gb": round(self.before / 1e9, 2),
        }


def encode(profile: Profile) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Moments of random "visible", "infrared", "segments" (1, 8, h, w), and texts (2, T, D): a prompt, and null."""
    vae = AutoencoderKL.from_config(profile.autoencoder).eval()
    text_encoder = CLIPTextModel(CLIPTextConfig(**profile.text_encoder)).eval()
    draw = torch.Generator().manual_seed(SEED)
    size, config = profile.image_size, text_encoder.config
    pictures = {
        name: torch.rand(1, 3, size, size, generator=draw) * 2 - 1 for name in ("visible", "infrared", "segments")
    }
    tokens = torch.randint(config.vocab_size, (2, config.max_position_embeddings), generator=draw)
    with torch.no_grad():
        text = text_encoder(tokens).last_hidden_state
    return {name: moments(vae, picture) for name, picture in pictures.items()}, text


def make_unet(profile: Profile) -> UNet2DConditionModel:
    """Random, for 12 channels, made as phase 2 makes it: the text-to-image UNet, widened."""
    return widen(UNet2DConditionModel.from_config(profile.unet)).train()


def make_step(unet, optimiser, profile: Profile, encoded, text, batch: int, device: str, mixed: bool) -> Callable:
    """A whole step of training (paper Eq. 1) on the one pair, `batch` times over; returns the loss."""
    alpha_bar = make_scheduler().alphas_cumprod.to(device)
    draw = torch.Generator().manual_seed(SEED)
    visible, segments = (condition_from_moments(encoded[name]).to(device) for name in ("visible", "segments"))
    moment = encoded["infrared"].expand(batch, -1, -1, -1)
    known = Conditions(text[:1].to(device), visible, segments)
    known = Conditions(*(part.expand(batch, *part.shape[1:]) for part in (known.text, known.visible, known.segments)))
    shape = (batch, 4, *moment.shape[2:])

    def step() -> torch.Tensor:
        noise, eps = (torch.randn(shape, generator=draw) for _ in range(2))
        z_0 = target_from_moments(moment, profile.autoencoder["scaling_factor"], noise).to(device)
        t = torch.randint(1000, (batch,), generator=draw).to(device)
        alpha, eps = alpha_bar[t].reshape(-1, 1, 1, 1), eps.to(device)
        x = unet_input(add_noise(z_0, eps, alpha), known.visible, known.segments)
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            answer = unet(x, t, encoder_hidden_states=known.text).sample
        loss = (answer.float() - question(z_0, eps, alpha, profile.prediction)).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def make_optimiser(unet, profile: Profile) -> torch.optim.AdamW:
    return torch.optim.AdamW(unet.parameters(), lr=profile.phase2.learning_rate, weight_decay=0.01)


class _Enough(Exception):
    """One step of sampling is done."""


def one_sampling_step(unet, profile: Profile, encoded, text) -> dict:
    """The first step of the profile's sampling, by the library's own loop; what came out, in numbers."""
    scales = profile.guidance
    every = branches(scales.s_text, scales.s_visible, scales.s_segments)
    visible, segments = (condition_from_moments(encoded[name]) for name in ("visible", "segments"))
    seen = {}

    def stop(step: int, z: torch.Tensor, _estimate: torch.Tensor) -> None:
        seen.update(finite=bool(z.isfinite().all()), shape=list(z.shape), branches=len(every))
        raise _Enough

    scheduler = make_scheduler(profile.prediction)
    with contextlib.suppress(_Enough):
        sample(
            unet.eval(), scheduler, Conditions(text[:1], visible, segments), text[1:], every, scales.steps, [SEED], stop
        )
    return seen


def on_the_cpu(profile: Profile) -> dict:
    """Encoding, one step of training, one of sampling: what each took."""
    report = {}
    with Watch() as watch:
        encoded, text = encode(profile)
    gc.collect()
    report["encoding"] = watch.report()
    with Watch() as watch:
        unet = make_unet(profile)
    gc.collect()
    report["making the UNet"] = watch.report()
    optimiser = make_optimiser(unet, profile)
    step = make_step(unet, optimiser, profile, encoded, text, batch=1, device="cpu", mixed=False)
    with Watch() as watch:
        loss = step().item()
    new = unet.conv_in.weight.detach()[:, 4:].abs().max().item()
    report["training step"] = watch.report() | {"batch": 1, "loss": loss, "new_channels_moved_by": new}
    del optimiser, step
    gc.collect()
    with Watch() as watch:
        seen = one_sampling_step(unet, profile, encoded, text)
    report["sampling step"] = watch.report() | seen
    counts = {"parameters": sum(p.numel() for p in unet.parameters()), "tensors": len(unet.state_dict())}
    return {"unet": counts, **report}


def on_a_gpu(profile: Profile, device: str = "cuda") -> dict:
    """Images a second in bf16, and the largest batch within each card's memory (weights, AdamW, no EMA)."""
    encoded, text = encode(profile)
    unet = make_unet(profile).to(device)
    optimiser = make_optimiser(unet, profile)

    def step_of(batch: int, network=unet) -> Callable:
        return make_step(network, optimiser, profile, encoded, text, batch, device, mixed=True)

    limits = {card: largest_batch(step_of, card, optimiser) for card in CARDS}
    batch = min(32, max(limits.values()) or 1)
    speeds = {}
    for name, network in (("eager", unet), ("compiled", torch.compile(unet))):
        step = step_of(batch, network)
        for _ in range(WARM_UP):
            step()
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(TIMED):
            step()
        torch.cuda.synchronize()
        speeds[name] = round(TIMED * batch / (time.perf_counter() - started), 2)
    return {
        "name": torch.cuda.get_device_name(),
        "memory_gb": round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1),
        "precision": "bf16 autocast, weights and AdamW in float32, no EMA",
        "batch": batch,
        "images_a_second": speeds,
        "largest_batch_within_gb": limits,
    }


def largest_batch(step_of: Callable[[int], Callable], gigabytes: float, optimiser, most: int = 1024) -> int:
    """By doubling, then halving the gap: the most samples whose measured peak is within; 0 where none is."""

    def fits(batch: int) -> bool:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            step = step_of(batch)
            for _ in range(2):  # the second has AdamW's moments
                step()
        except torch.cuda.OutOfMemoryError:
            optimiser.zero_grad(set_to_none=True)
            return False
        return torch.cuda.max_memory_reserved() <= gigabytes * 1e9

    return bisect(fits, most)


def bisect(fits: Callable[[int], bool], most: int) -> int:
    """The largest n up to `most` for which `fits`, which holds for all smaller ones; 0 where it does not for 1."""
    good, bad = 0, 1
    while bad <= most and fits(bad):
        good, bad = bad, 2 * bad
    bad = min(bad, most + 1)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """Random weights that are the same each time; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def needed_bytes(profile: Profile) -> int:
    """Of the CPU part: weights, gradients and moments, and 2 GB for everything else."""
    with torch.device("meta"):
        count = sum(p.numel() for p in make_unet(profile).parameters())
    memory = of_parameters(count, count, Way(average=False))
    return memory.weights + memory.gradients + memory.moments + 2_000_000_000


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--narrow", type=int, choices=(1, 2, 4, 8), default=1, help="divide all widths by this")
    parser.add_argument("--out", type=Path, help="file to write, in place of results/full_size.json")
    options = parser.parse_args(argv)
    profile = narrowed(FULL, options.narrow)
    needs, free = needed_bytes(profile), psutil.virtual_memory().available
    if needs > free:
        print(f"error: this takes {needs / 1e9:.1f} GB of memory, {free / 1e9:.1f} are free", file=sys.stderr)
        return 2
    parts = {"cpu": on_the_cpu} | ({"gpu": on_a_gpu} if torch.cuda.is_available() else {})
    report = {
        "about": "Stable Diffusion v1.5's shapes with random weights; on the CPU at batch 1, in float32, without EMA",
        "provenance": provenance(SEED),
        "basis": "measured",
        "narrowed_by": options.narrow,
        "image_size": profile.image_size,
    }
    with seeded():
        for name, measure in tqdm(parts.items(), desc="measuring", unit="device"):
            report[name] = measure(profile)
    write_json(options.out or repo_root() / "results" / "full_size.json", report)
    for name in ("training step", "sampling step"):
        part = report["cpu"][name]
        print(f"{name}: {part['seconds']} s, {part['peak_memory_gb']} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
