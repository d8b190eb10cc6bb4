"""The conditional latent diffusion model (paper §3.1, Eq. 2): components, conditions, guidance, sampling, pipeline."""
