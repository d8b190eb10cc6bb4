"""The pipeline's folder: model_index.json and one folder for each component, which may be shared with siblings.

diffusers' own loader would import whatever module the index names. Ours builds classes of one short list, and reads
nothing outside the folder's parent.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import EulerAncestralDiscreteScheduler
from tqdm.auto import tqdm

from v2ir_lib.diffusion.components import load_autoencoder, load_text_encoder, load_tokenizer, load_unet
from v2ir_lib.errors import UserError
from v2ir_lib.files import atomic_path, write_json
from v2ir_lib.vlum.captioner import load_captioner, load_captioner_processor
from v2ir_lib.vlum.segmenter import SamWrapper
from v2ir_lib.vlum.vit_sam import VitSamWrapper
from v2ir_lib.weights import folder_hash, forget_origin, load_model, quieten, read_json, save_half

INDEX = "model_index.json"


def load_scheduler(folder: str | Path) -> EulerAncestralDiscreteScheduler:
    """The scheduler of a folder's scheduler_config.json."""
    config = read_json(Path(folder) / "scheduler_config.json")
    if config.get("_class_name") != "EulerAncestralDiscreteScheduler":
        raise UserError(f"{folder}: scheduler {config.get('_class_name')!r} is not EulerAncestralDiscreteScheduler")
    return EulerAncestralDiscreteScheduler.from_config(config)


SEGMENTERS = {cls.__name__: cls for cls in (SamWrapper, VitSamWrapper)}  # convolutions or a vision transformer in front


def load_segmenter(folder: str | Path) -> SamWrapper | VitSamWrapper:
    """SAM from a folder of safetensors, of the class that its config.json names, one of two."""
    name = read_json(Path(folder) / "config.json").get("_class_name")
    if name not in SEGMENTERS:
        raise UserError(f"{folder}: {name!r} is no segmenter; it may be a {' or a '.join(SEGMENTERS)}")
    return load_model(SEGMENTERS[name], folder)


# component → (the classes it may be, its loader)
ALLOWED: dict[str, tuple[tuple[str, ...], Callable[[Path], Any]]] = {
    "vae": (("AutoencoderKL",), load_autoencoder),
    "text_encoder": (("CLIPTextModel",), load_text_encoder),
    "tokenizer": (("CLIPTokenizer",), load_tokenizer),
    "unet": (("UNet2DConditionModel",), load_unet),
    "scheduler": (("EulerAncestralDiscreteScheduler",), load_scheduler),
    "captioner": (("BlipForConditionalGeneration",), load_captioner),
    "captioner_processor": (("BlipProcessor",), load_captioner_processor),
    "segmenter": (tuple(SEGMENTERS), load_segmenter),
}
SETTINGS = {
    "image_size": int,
    "reading_size": int,
    "template": str,
    "segments": str,
    "caption_tokens": int,
    "caption_beams": int,
    "s_text": float,
    "s_visible": float,
    "s_segments": float,
    "steps": int,
}


def component_folders(folder: Path) -> dict[str, Path]:
    """Where each component of a pipeline folder lies; `UserError` for an unknown class or a path that leads outside."""
    index = read_json(folder / INDEX) if folder.is_dir() else None
    if index is None:
        raise UserError(f"model folder missing: {folder}")
    shared = index.get("shared", {})
    inside = folder.resolve().parent
    places = {}
    for name, (class_names, _) in ALLOWED.items():
        entry = index.get(name)
        if not isinstance(entry, list) or len(entry) != 2:
            raise UserError(f"{folder / INDEX} names no {name}")
        if entry[1] is None:
            continue
        if str(entry[1]) not in class_names:
            only = " or a ".join(class_names)
            raise UserError(f"{folder / INDEX}: {name} is a {entry[1]}, but only a {only} is ever built")
        place = folder / str(shared.get(name, name))
        if not place.resolve().is_relative_to(inside):
            raise UserError(f"{folder / INDEX}: {name} lies outside {inside}, which is refused: {shared.get(name)}")
        places[name] = place
    return places


def load_components(folder: Path, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All components (those `given` are not loaded) and the settings of a pipeline folder."""
    places = component_folders(folder)
    components = {name: ALLOWED[name][1](place) for name, place in places.items() if name not in given} | given
    index = read_json(folder / INDEX)
    settings = {}
    for name, kind in SETTINGS.items():
        if name in index:
            if not isinstance(index[name], int | float if kind is float else kind):
                raise UserError(f"{folder / INDEX}: {name} should be a {kind.__name__}, not {index[name]!r}")
            settings[name] = kind(index[name])
    _check_fit(components, folder)
    return components, settings


def save_components(pipeline, folder: Path, half: bool, shared: dict[str, str]) -> None:
    """What `DiffV2IRPipeline.save_pretrained` does: the whole folder appears at once, or not at all."""
    quieten()
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for name in tqdm(ALLOWED, desc="writing", unit="part", delay=2, leave=False):  # full size: 4 GB and more
            component = getattr(pipeline, name)
            if component is None or name in shared:
                continue
            if half and isinstance(component, torch.nn.Module):
                save_half(component, temporary / name)
            else:
                component.save_pretrained(temporary / name)
                forget_origin(temporary / name)
        pipeline.save_config(temporary)
        if shared:
            index = json.loads((temporary / INDEX).read_text())
            write_json(temporary / INDEX, index | {"shared": shared})


def pipeline_hash(folder: Path) -> str:
    """SHA-256 of everything that a pipeline folder is made of, shared components included."""
    places = component_folders(folder)
    shared = {place.resolve() for place in places.values()}
    return folder_hash([folder, *sorted(place for place in shared if not place.is_relative_to(folder.resolve()))])


def _check_fit(components: dict[str, Any], folder: Path) -> None:
    """Parts that are each sound but were not made for one another."""
    unet, vae, text = components["unet"], components["vae"], components["text_encoder"]
    channels = 3 * vae.config.latent_channels
    if unet.config.in_channels != channels:
        raise UserError(f"{folder}: the UNet reads {unet.config.in_channels} channels, not the {channels} of [z, V, S]")
    if unet.config.cross_attention_dim != text.config.hidden_size:
        raise UserError(
            f"{folder}: the UNet reads text of width {unet.config.cross_attention_dim}, "
            f"but the text encoder's is {text.config.hidden_size}"
        )
    if len(components["tokenizer"]) > text.config.vocab_size:
        raise UserError(
            f"{folder}: the tokenizer has {len(components['tokenizer'])} tokens, "
            f"but the text encoder knows {text.config.vocab_size}"
        )
