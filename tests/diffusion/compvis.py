"""A checkpoint in CompVis's layout at reduced width: diffusers' names turned back into those of the released file.

Written from the two libraries' structure, not with diffusers' own tables, which are what is tested.
"""

import dataclasses
import re
import sys
import types

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from v2ir_lib.profiles import FULL

UNET = FULL.unet | dict(
    sample_size=8, block_out_channels=(16, 32, 64, 64), attention_head_dim=4, cross_attention_dim=24, norm_num_groups=8
)
VAE = FULL.autoencoder | dict(sample_size=64, block_out_channels=(8, 8, 16, 16), norm_num_groups=4)
TEXT = FULL.text_encoder | dict(
    vocab_size=514, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, projection_dim=24,
    bos_token_id=512, eos_token_id=513,
)  # fmt: skip
SMALL = dataclasses.replace(FULL, unet=UNET, autoencoder=VAE, text_encoder=TEXT)

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3"}
RESNET |= {"time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def small_models(in_channels: int = 12, seed: int = 0):
    """UNet, autoencoder, text encoder, random."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_config(UNET | dict(in_channels=in_channels)).eval()
    return unet, AutoencoderKL.from_config(VAE).eval(), CLIPTextModel(CLIPTextConfig(**TEXT)).eval()


def unet_name(name: str) -> str:
    """down_blocks.1.resnets.0.conv1.weight → input_blocks.4.0.in_layers.2.weight; two layers a block."""
    whole = {
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    }  # fmt: skip
    stem, leaf = name.rsplit(".", 1)
    if stem in whole:
        return f"{whole[stem]}.{leaf}"
    side, rest = re.fullmatch(r"(down_blocks\.\d+|up_blocks\.\d+|mid_block)\.(.*)", name).groups()
    kind, index, rest = rest.split(".", 2)
    index, block = int(index), int(side.split("_blocks.")[-1]) if side != "mid_block" else 0
    if kind == "resnets":
        rest = re.sub("|".join(RESNET), lambda found: RESNET[found[0]], rest, count=1)
    if side == "mid_block":
        return f"middle_block.{2 * index if kind == 'resnets' else 2 * index + 1}.{rest}"
    if side.startswith("down"):
        if kind == "downsamplers":
            return f"input_blocks.{3 * block + 3}.0.{rest.replace('conv', 'op')}"
        return f"input_blocks.{3 * block + index + 1}.{0 if kind == 'resnets' else 1}.{rest}"
    if kind == "upsamplers":
        attends = "CrossAttn" in UNET["up_block_types"][block]
        return f"output_blocks.{3 * block + 2}.{2 if attends else 1}.{rest}"
    return f"output_blocks.{3 * block + index}.{0 if kind == 'resnets' else 1}.{rest}"


def vae_name(name: str) -> str:
    """decoder.up_blocks.0.resnets.1.conv_shortcut.weight → decoder.up.3.block.1.nin_shortcut.weight."""
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    if "mid_block.attentions.0" in name:
        name = re.sub("|".join(ATTENTION), lambda found: ATTENTION[found[0]], name)
        return name.replace("mid_block.attentions.0", "mid.attn_1")
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda found: f"up.{3 - int(found[1])}.block", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{3 - int(found[1])}.upsample", name)


def compvis_state(unet, vae, text, averaged=None) -> dict[str, torch.Tensor]:
    """The released file's state dict; `averaged` is a UNet whose weights go under model_ema."""
    state = {f"model.diffusion_model.{unet_name(name)}": value for name, value in unet.state_dict().items()}
    if averaged is not None:
        for name, value in averaged.state_dict().items():
            state["model_ema.diffusion_model" + unet_name(name).replace(".", "")] = value
        state |= {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7, dtype=torch.int32)}
    for name, value in vae.state_dict().items():
        is_attention = re.search(r"mid_block\.attentions\.0\.to_.*weight", name)
        state["first_stage_model." + vae_name(name)] = value[:, :, None, None] if is_attention else value
    for name, value in text.state_dict().items():
        state["cond_stage_model.transformer.text_model." + name.removeprefix("text_model.")] = value
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    return state | {"betas": torch.linspace(0, 1, 10), "alphas_cumprod": torch.ones(10), "logvar": torch.zeros(10)}


def lightning(state: dict) -> dict:
    """What Lightning writes around a state dict: objects of classes that are not installed, optimiser states."""
    from collections import OrderedDict

    callback = foreign("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    settings = foreign("omegaconf.listconfig", "ListConfig")()
    settings.__dict__["_content"] = [1, 2]
    ordered = OrderedDict(state)
    ordered._metadata = OrderedDict({"": {"version": 1}})  # as torch's own state_dict() has it
    moments = {"step": 7, "exp_avg": torch.randn(40, 40)}
    return {
        "epoch": 3,
        "global_step": 7,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": ordered,
        "callbacks": {callback: {"monitor": "val/loss", "best_model_score": torch.tensor(0.1), "kept": {1, 2}}},
        "optimizer_states": [{"state": {0: moments}, "param_groups": [{"lr": 1e-4, "params": [0]}]}],
        "lr_schedulers": [settings],
    }


def foreign(module: str, name: str) -> type:
    """A class that pickles under a name that is not installed; `forget_foreign` takes it away again."""
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[: i + 1]), types.ModuleType(".".join(parts[: i + 1])))
    cls = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, cls)
    return cls


def forget_foreign() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("pytorch_lightning", "omegaconf")]:
        del sys.modules[name]


def save(content, path):
    """Write as the authors did, and take the foreign classes away, so that the file is met as on any machine."""
    torch.save(content, path)
    forget_foreign()
    return path
