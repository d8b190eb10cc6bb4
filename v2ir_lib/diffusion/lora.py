"""Low-rank adaptation of the UNet: the base stays frozen, small matrices beside its attention learn.

Phase 1 trains so; phases 2 and 3 do where memory is short, and then the first convolution trains as well: its channels
for the visible picture and the segments begin at zero, and no matrix of LoRA's stands beside them.
"""

import hashlib
from collections.abc import Collection
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from v2ir_lib.errors import UserError
from v2ir_lib.weights import read_shapes

ADAPTER = "phase1"
FILE = "pytorch_lora_weights.safetensors"
BESIDE = "trained_beside_lora.safetensors"
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


def add_lora(unet: UNet2DConditionModel, rank: int, alpha: float | None = None, targets=ATTENTION) -> list:
    """Put LoRA matrices beside the attention projections, in place; returns the parameters to train, nothing else.

    B starts at zero, so the function is unchanged at first. alpha = rank makes the update's scale 1.
    """
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha or rank, target_modules=targets), ADAPTER)
    return [parameter for parameter in unet.parameters() if parameter.requires_grad]


def beside_lora(unet: UNet2DConditionModel) -> dict[str, torch.nn.Parameter]:
    """What trains and is no matrix of LoRA's, by name: the first convolution from phase 2 on, else nothing."""
    return {name: weight for name, weight in unet.named_parameters() if weight.requires_grad and "lora_" not in name}


def merge_lora(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Add the LoRA product to the base weights, in place, and take the matrices away: a plain UNet again.

    After this no parameter would ask for a gradient; they are all switched on again, as phase 2 trains them all.
    """
    unet.fuse_lora()
    unet.unload_lora()
    return unet.requires_grad_(True)


def save_lora(unet: UNet2DConditionModel, folder: str | Path) -> None:
    """Write what trained as safetensors: the LoRA matrices, and in a file of its own what trained beside them."""
    unet.save_lora_adapter(folder, adapter_name=ADAPTER, safe_serialization=True, weight_name=FILE)
    if beside := beside_lora(unet):
        save_file({name: weight.detach().cpu().contiguous() for name, weight in beside.items()}, Path(folder) / BESIDE)


def load_lora(unet: UNet2DConditionModel, folder: str | Path) -> UNet2DConditionModel:
    """Put saved LoRA matrices beside the base weights, in place, and what trained with them in its place.

    The base is the UNet that they were trained beside. `UserError` where they are missing or do not fit.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"model file missing: {path}")
    read_shapes(path)
    try:
        unet.load_lora_adapter(str(folder), prefix=None, adapter_name=ADAPTER, weight_name=FILE, use_safetensors=True)
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"{path} does not fit this UNet: {' '.join(str(error).split())[:200]}") from None
    if (Path(folder) / BESIDE).is_file():
        _put_beside(unet, Path(folder) / BESIDE)
    return unet


@torch.no_grad()
def _put_beside(unet: UNet2DConditionModel, path: Path) -> None:
    own = dict(unet.named_parameters())
    for name, shape in read_shapes(path).items():
        if name not in own or own[name].shape != shape:
            has = f"{tuple(own[name].shape)}, not {shape}" if name in own else "missing"
            raise UserError(f"{path} does not fit this UNet: {name} is {has}")
    for name, value in load_file(path).items():
        own[name].copy_(value)


def base_hash(unet: UNet2DConditionModel, but: Collection[str] = ()) -> str:
    """SHA-256 of all weights, but the named ones and LoRA's: equal before and after, or the base was touched."""
    digest = hashlib.sha256()
    for name, value in sorted((name.replace(".base_layer", ""), value) for name, value in unet.state_dict().items()):
        if "lora_" not in name and name not in but:
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
