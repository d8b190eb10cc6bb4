"""That ways of sampling which benchmarks/guided_sampling.py compares do one work. Imported, not run."""

from collections.abc import Callable

import numpy as np
import torch
from guided_ways import Work, as_pix2pix, guided, pix2pix, pix2pix_latents

from v2ir_lib.diffusion.latents import decode


def counted(unet: torch.nn.Module, batch: int, run: Callable[[], torch.Tensor]) -> tuple[int, torch.Tensor]:
    """How often the UNet is evaluated for each of `batch` samples, as it happens; and the result."""
    rows = []
    hook = unet.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    result = run()
    hook.remove()
    return sum(rows) // batch, result


def same_work(work: Work) -> dict:
    """That what is compared is one computation: evaluations counted, and results from the same noise."""
    theirs = pix2pix(work)
    runs = {
        "four branches": (work.unet, lambda: guided(work, skip=False)),
        "three branches": (work.unet, lambda: guided(work)),
        "ours, as InstructPix2Pix": (theirs.unet, lambda: as_pix2pix(theirs, work)),
        "diffusers": (theirs.unet, lambda: pix2pix_latents(theirs, work)),
    }
    found = {name: counted(unet, work.batch, run) for name, (unet, run) in runs.items()}
    results = [result for _, result in found.values()]
    return {
        "evaluations": {name: count for name, (count, _) in found.items()},
        "three_branches_from_four": apart(work, *results[:2]),
        "ours_from_diffusers": apart(work, *results[2:]),
    }


def apart(work: Work, one: torch.Tensor, other: torch.Tensor) -> dict:
    """Largest difference of two results: of z_0, in its standard deviations, and of the pictures, in grey levels."""
    pictures = [np.rint(127.5 * (decode(work.vae, z.float()).cpu().numpy() + 1)) for z in (one, other)]
    return {
        "latents": float(f"{((one - other).abs().max() / other.std()).item():.2e}"),
        "grey_levels": int(np.abs(pictures[0] - pictures[1]).max()),
    }
