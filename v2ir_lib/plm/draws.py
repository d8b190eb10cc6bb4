"""Everything that training draws at random, each draw keyed by (seed, phase, step, global sample index).

There is no random state to save: step 700 of a resumed run draws what step 700 of an uninterrupted one does, and
sample 9 of a batch is the same whether one process has the batch or four share it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from v2ir_lib.diffusion.noising import offset_noise
from v2ir_lib.plm.dataset import PhaseData
from v2ir_lib.plm.phases import Phase

TIMESTEPS = 1000  # of the forward process, as in Stable Diffusion


def keyed_generator(*key: object) -> torch.Generator:
    """A CPU generator seeded by the SHA-256 of its key: the same on every machine, unrelated for any other key."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@lru_cache(maxsize=4)
def epoch_order(seed: int, phase: str, epoch: int, count: int) -> torch.Tensor:
    """The order in which an epoch visits `count` scenes, (count,) int64."""
    return torch.randperm(count, generator=keyed_generator(seed, phase, "epoch", epoch))


@dataclass(frozen=True)
class Batch:
    """What one step needs, drawn and looked up: B samples on latents of (4, h, w). Fields end with their shapes."""

    infrared: torch.Tensor  # moments of the infrared picture's posterior, (B, 8, h, w)
    visible: torch.Tensor | None  # posterior mode, unscaled, (B, 4, h, w)
    segments: torch.Tensor | None  # (B, 4, h, w)
    text: torch.Tensor  # hidden states of the prompt, (B, L, D)
    timesteps: torch.Tensor  # (B,) int64 in [0, 1000)
    posterior_noise: torch.Tensor  # the autoencoder's, N(0, 1), (B, 4, h, w)
    eps: torch.Tensor  # the diffusion's, N(0, 1) and the offsets of its channels, (B, 4, h, w)
    dropout: torch.Tensor  # uniform in [0, 1): which conditions go missing, (B,)

    def to(self, device: str | torch.device) -> "Batch":
        """The same batch on another device."""
        moved = {name: None if x is None else x.to(device) for name, x in vars(self).items()}
        return Batch(**moved)

    def windows(self, corners: Sequence[torch.Tensor], size: int) -> "Batch":
        """A square window of `size` latent pixels of each sample, the same in all its pictures.

        corners: for each sample, (top, left) as shares in [0, 1) of the room there is. An autoencoder's latents can be
        cut like pictures, so that a short run sees more of them in the same time. Raises `ValueError` for a window that
        is larger than the latents.
        """
        height, width = self.eps.shape[-2:]
        if size > min(height, width):
            raise ValueError(f"a window of {size} latent pixels does not fit into latents of {height} x {width}")
        rooms = torch.tensor([height - size + 1, width - size + 1])
        places = [(corner * rooms).long().tolist() for corner in corners]

        def cut(pictures: torch.Tensor | None) -> torch.Tensor | None:
            if pictures is None:
                return None
            views = zip(pictures, places, strict=True)
            return torch.stack([picture[:, top : top + size, left : left + size] for picture, (top, left) in views])

        names = ("infrared", "visible", "segments", "posterior_noise", "eps")
        return replace(self, **{name: cut(getattr(self, name)) for name in names})


def draw_batch(data: PhaseData, phase: Phase, seed: int, step: int, samples: Sequence[int] | None = None) -> Batch:
    """Samples of one step: all of the global batch, or those whose global indices are given (a process's share).

    Scenes come in epochs without repetition; crop, camera, timestep, dropout and both noises are drawn per sample.
    """
    size = phase.settings.batch_size
    samples = range(size) if samples is None else samples
    scenes, crops, looks, timesteps, dropout, posterior_noise, eps, corners = [], [], [], [], [], [], [], []
    for sample in samples:
        epoch, position = divmod(step * size + sample, data.scenes)
        generator = keyed_generator(seed, phase.name, step, sample)
        scenes.append(int(epoch_order(seed, phase.name, epoch, data.scenes)[position]))
        crop, look, t = (int(torch.randint(n, (), generator=generator)) for n in (data.crops, data.looks, TIMESTEPS))
        crops.append(crop)
        looks.append(look)
        timesteps.append(t)
        dropout.append(torch.rand((), generator=generator))
        posterior_noise.append(torch.randn(data.latent_shape, generator=generator))
        plain = torch.randn(data.latent_shape, generator=generator)
        corners.append(torch.rand(2, generator=generator))
        eps.append(offset_noise(plain, torch.randn(len(plain), generator=generator), phase.noise_offset))
    batch = Batch(
        data.infrared_moments(scenes, crops, looks),
        data.visible_latents(scenes, crops),
        data.segment_latents(scenes, crops),
        data.text_states(scenes),
        torch.tensor(timesteps),
        torch.stack(posterior_noise),
        torch.stack(eps),
        torch.stack(dropout),
    )
    settings = phase.settings
    small = settings.window and step < settings.window_share * settings.steps
    return batch.windows(corners, settings.window) if small else batch
