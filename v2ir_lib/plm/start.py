"""What a phase starts from: the frozen parts in front of the UNet, and the UNet itself, made ready to train.

A start is a folder: of a pipeline, of a UNet, of phase 1's LoRA, or what `v2ir train` left. Without one it is what the
repository ships for that phase: the base UNet, the base with phase 1's LoRA merged into it, the UNet after phase 2.
"""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from v2ir_lib.diffusion.components import load_unet
from v2ir_lib.diffusion.folders import INDEX, component_folders, load_scheduler
from v2ir_lib.diffusion.full import find_part, processor_of
from v2ir_lib.diffusion.lora import BESIDE, add_lora, load_lora, merge_lora
from v2ir_lib.diffusion.lora import FILE as LORA
from v2ir_lib.diffusion.widening import widen
from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root
from v2ir_lib.plm.draws import keyed_generator
from v2ir_lib.plm.phases import Phase
from v2ir_lib.profiles import Profile
from v2ir_lib.weights import read_json

RANDOM = "random"  # in place of a folder: a UNet of the profile's shape that has learned nothing
# a part's name here → its name in a pipeline's folder
IN_PIPELINE = {
    "autoencoder": "vae",
    "text_encoder": "text_encoder",
    "tokenizer": "tokenizer",
    "captioner": "captioner",
    "captioner_processor": "captioner_processor",
    "segmenter": "segmenter",
}


def frozen_parts(profile: Profile, phase: Phase, start: str | Path | None = None) -> dict[str, Path]:
    """The place of each part that is not trained, a folder or a file: those of a pipeline `start`, else the profile's.

    `UserError` where one is missing that the phase needs; one without captions needs no captioner and no segmenter.
    """
    needed = [part for part in IN_PIPELINE if phase.conditions or part in ("autoencoder", "text_encoder", "tokenizer")]
    if start is not None and (Path(start) / INDEX).is_file():
        found = component_folders(Path(start))
        for part in needed:
            if IN_PIPELINE[part] not in found:
                raise UserError(f"{start} has no {part}, which {phase.name} needs: give a complete pipeline")
        return {part: found[IN_PIPELINE[part]] for part in needed}
    parts = {part: find_part(profile, part) for part in needed if part != "captioner_processor"}
    if "captioner" in parts:
        parts["captioner_processor"] = processor_of(parts["captioner"])
    return parts


def start_unet(profile: Profile, phase: Phase, parts: dict[str, Path], start: str | Path | None, seed: int):
    """The UNet of a start as this phase trains it: with LoRA beside it, or all of it asking for gradients.

    From phase 2 on it reads 12 channels, and with LoRA its first convolution trains too.
    `UserError`, with both shapes, where it is another phase's or profile's.
    """
    unet = _load(profile, phase, start, seed)
    name = start if start is not None else f"the shipped start of {phase.name}"
    asked, has = phase.in_channels, unet.config.in_channels
    if has not in (4, asked):
        shapes = f"{tuple(unet.conv_in.weight.shape)}, not {(unet.conv_in.out_channels, asked, 3, 3)}"
        raise UserError(
            f"{name}: the UNet reads {has} channels, {phase.name} trains one of {asked}: conv_in.weight is {shapes}"
        )
    text = read_json(parts["text_encoder"] / "config.json").get("hidden_size")
    if unet.config.cross_attention_dim != text:
        raise UserError(
            f"{name}: the UNet reads text of width {unet.config.cross_attention_dim}, but profile {profile.name}'s "
            f"text encoder gives {text}: it belongs to another profile"
        )
    unet = widen(unet, asked) if has < asked else unet
    if phase.trains == "all":
        return unet.requires_grad_(True)
    with torch.random.fork_rng(devices=[]):  # the first matrices of LoRA are random
        torch.manual_seed(keyed_generator(seed, phase.name, "lora").initial_seed())
        add_lora(unet, phase.settings.lora_rank)
    unet.conv_in.requires_grad_(bool(phase.conditions))  # its channels for them may be new, and then zero
    return unet


def _load(profile: Profile, phase: Phase, start: str | Path | None, seed: int) -> UNet2DConditionModel:
    if start == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keyed_generator(seed, "random start").initial_seed())
            return UNet2DConditionModel(**profile.unet)
    if start is None:
        return _shipped(profile, phase)
    folder = Path(start)
    if (folder / INDEX).is_file():
        places = component_folders(folder)
        answers = load_scheduler(places["scheduler"]).config.prediction_type
        if answers != profile.prediction:
            raise UserError(
                f"{folder} answers {answers}, but profile {profile.name} trains {profile.prediction}: "
                "it belongs to another profile"
            )
        return load_unet(places["unet"])
    for place in (folder, folder / "unet"):
        if (place / "config.json").is_file():
            return load_unet(place)
    if (folder / BESIDE).is_file():
        raise UserError(f"{folder} fits only the UNet that it was trained beside: give the folder of that run")
    if (folder / LORA).is_file():
        return merge_lora(load_lora(load_unet(find_part(profile, "unet")), folder))
    raise UserError(f"{folder} is no start: give the folder of a UNet, a pipeline, phase 1's LoRA, or an earlier run")


def _shipped(profile: Profile, phase: Phase) -> UNet2DConditionModel:
    if phase.name == "phase1":
        return load_unet(find_part(profile, "unet"))
    shipped = (repo_root() / profile.sources.pipeline).parent
    place = shipped / {"phase2": "phase1_lora", "phase3": "phase2_unet"}[phase.name]
    if not place.is_dir():
        raise UserError(f"profile {profile.name} ships no start for {phase.name}: name one by --model")
    return _load(profile, phase, place, 0)
