"""Eq. 1, the loss of latent diffusion, for one batch of any phase (paper §3.1).

    L = E ‖eps − eps_theta(z_t, t, c)‖²   with   z_t = √ᾱ_t · z_0 + √(1 − ᾱ_t) · eps

z_0 is the latent of an infrared picture, t is uniform in 0…999, eps is standard normal noise, and c is what the phase
tells the model: a prompt, and from phase 2 on the latents of the visible picture and of its segment map. A profile
may ask the network for v in place of eps, and weight errors by how noisy each sample is: `diffusion.noising` has both.
"""

import torch
from diffusers import UNet2DConditionModel

from v2ir_lib.diffusion.conditions import Conditions, dropout_bins
from v2ir_lib.diffusion.latents import target_from_moments
from v2ir_lib.diffusion.noising import add_noise, min_snr_weights, question
from v2ir_lib.diffusion.sampling import make_scheduler
from v2ir_lib.diffusion.widening import unet_input
from v2ir_lib.plm.draws import Batch
from v2ir_lib.plm.phases import Phase


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
            given = self.dropped(batch)
            z_t, text = unet_input(z_t, given.visible, given.segments), given.text
        answer = unet(z_t, batch.timesteps, encoder_hidden_states=text).sample
        asked = question(z_0, batch.eps, alpha_bar, self.phase.prediction)
        errors = (answer - asked).square().mean(dim=(1, 2, 3))
        weights = min_snr_weights(alpha_bar.flatten(), self.phase.settings.snr_gamma, self.phase.prediction)
        return (weights * errors).mean()

    def dropped(self, batch: Batch) -> Conditions:
        """The batch's conditions, without those that its dropout numbers take away."""
        given = Conditions(batch.text, batch.visible, batch.segments)
        masks = dropout_bins(batch.dropout, self.phase.dropout, self.phase.settings.dropout_scheme)
        return given.drop(self.null_text.to(batch.text.device), **masks)
