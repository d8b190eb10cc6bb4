"""Low-rank adaptation of the UNet (phase 1): the base stays frozen, small matrices beside its attention learn."""

import hashlib
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig

from v2ir_lib.errors import UserError
from v2ir_lib.weights import read_shapes

ADAPTER = "phase1"
FILE = "pytorch_lora_weights.safetensors"
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


def add_lora(unet: UNet2DConditionModel, rank: int, alpha: float | None = None, targets=ATTENTION) -> list:
    """Put LoRA matrices beside the attention projections, in place; returns the parameters to train, nothing else.

    B starts at zero, so the function is unchanged at first. alpha = rank makes the update's scale 1.
    """
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha or rank, target_modules=targets), ADAPTER)
    return [parameter for parameter in unet.parameters() if parameter.requires_grad]


def merge_lora(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Add the LoRA product to the base weights, in place, and take the matrices away: a plain UNet again.

    After this no parameter would ask for a gradient; they are all switched on again, as phase 2 trains them all.
    """
    unet.fuse_lora()
    unet.unload_lora()
    return unet.requires_grad_(True)


def save_lora(unet: UNet2DConditionModel, folder: str | Path) -> None:
    """Write the LoRA matrices alone, as safetensors."""
    unet.save_lora_adapter(folder, adapter_name=ADAPTER, safe_serialization=True, weight_name=FILE)


def load_lora(unet: UNet2DConditionModel, folder: str | Path) -> UNet2DConditionModel:
    """Put saved LoRA matrices beside the base weights, in place; `UserError` where they are missing or do not fit."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"model file missing: {path}")
    read_shapes(path)
    try:
        unet.load_lora_adapter(str(folder), prefix=None, adapter_name=ADAPTER, weight_name=FILE, use_safetensors=True)
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"{path} does not fit this UNet: {' '.join(str(error).split())[:200]}") from None
    return unet


def base_hash(unet: UNet2DConditionModel) -> str:
    """SHA-256 of all weights that are not LoRA's: equal before and after phase 1, or the base was touched."""
    digest = hashlib.sha256()
    for name, value in sorted((name.replace(".base_layer", ""), value) for name, value in unet.state_dict().items()):
        if "lora_" not in name:
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
