"""The parts of a latent diffusion model, each loaded from its own folder and checked before it is."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from v2ir_lib.errors import UserError
from v2ir_lib.weights import load_model


def load_autoencoder(folder: str | Path, device: str = "cpu") -> AutoencoderKL:
    """E and D of paper §3.1: images (B, 3, H, W) in [-1, 1] to latents (B, 4, H/f, W/f) and back."""
    return load_model(AutoencoderKL, folder, device)


def load_text_encoder(folder: str | Path, device: str = "cpu") -> CLIPTextModel:
    """The CLIP text encoder: token numbers (B, T) to embeddings (B, T, D)."""
    return load_model(CLIPTextModel, folder, device)


def load_unet(folder: str | Path, device: str = "cpu") -> UNet2DConditionModel:
    """eps_theta: 4 input channels as a text-to-image model, 12 once widened."""
    return load_model(UNet2DConditionModel, folder, device)


def load_tokenizer(folder: str | Path) -> CLIPTokenizer:
    """The tokenizer of that text encoder; `UserError` where it is missing, damaged, or has no length limit.

    Without a `model_max_length` of its own a tokenizer truncates nothing, and a long prompt breaks the text encoder.
    """
    folder = Path(folder)
    if not (folder / "tokenizer_config.json").is_file():
        raise UserError(f"model file missing: {folder / 'tokenizer_config.json'}")
    if not ((folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file()):
        raise UserError(f"model file missing: {folder / 'tokenizer.json'} (or vocab.json and merges.txt)")
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise UserError(f"cannot read the tokenizer in {folder}: {' '.join(str(error).split())[:200]}") from None
    if tokenizer.model_max_length > 100_000:
        raise UserError(f"{folder / 'tokenizer_config.json'} sets no model_max_length")
    return tokenizer


@torch.no_grad()
def encode_text(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel, prompts: list[str]) -> torch.Tensor:
    """Prompts to embeddings (B, T, D), T always the tokenizer's limit (padded, truncated); "" is the null text."""
    tokens = tokenizer(
        prompts, padding="max_length", truncation=True, max_length=tokenizer.model_max_length, return_tensors="pt"
    )
    return text_encoder(tokens.input_ids.to(text_encoder.device)).last_hidden_state


def to_device(name: str) -> torch.device:
    """`cpu`, `cuda`, `cuda:1`, or `auto` (a GPU where there is one); `UserError` where this machine has none."""
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError:
        raise UserError(f"unknown device {name!r}: use cpu, cuda or auto") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"unknown device {name!r}: use cpu, cuda or auto")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise UserError(f"device {name!r} asked for, but this machine has no such CUDA GPU: use --device cpu")
    return device
