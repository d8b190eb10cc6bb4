"""Loading a model folder (config.json + safetensors), after it has been checked; no code ever runs from it.

A pickle (.bin, .pt, .ckpt) can execute anything while it is read, so it is refused, also where a library would take it.
"""

import copy
import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from v2ir_lib.errors import UserError
from v2ir_lib.files import sha256, write_json

PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
WEIGHT_FILES = ("diffusion_pytorch_model.safetensors", "model.safetensors")  # diffusers', transformers'


def read_json(path: str | Path) -> dict:
    """The JSON object in a file; `UserError` where it is missing or damaged."""
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"model file missing: {path}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"cannot read {path}: expected a JSON object")
    return value


def weights_file(folder: str | Path) -> Path:
    """The one safetensors file of a model folder; `UserError` where there is none, or a pickle in its place."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"model folder missing: {folder}")
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    for path in sorted(folder.iterdir()):
        if path.suffix in PICKLES:
            raise UserError(f"{path} is a pickle, which may run code when it is read: convert it to safetensors")
    raise UserError(f"model file missing: {folder / WEIGHT_FILES[0]} (or {WEIGHT_FILES[1]})")


def read_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a safetensors file, from its header; `UserError` where it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"cannot read {path}: truncated, or not a safetensors file ({error})") from None


def check_shapes(path: str | Path, expected: dict[str, tuple[int, ...]], optional: set[str] = frozenset()) -> None:
    """`UserError`, naming file, tensor and both shapes, unless the file holds exactly the expected tensors."""
    compare_shapes(path, read_shapes(path), expected, optional)


def compare_shapes(
    path: str | Path,
    found: dict[str, tuple[int, ...]],
    expected: dict[str, tuple[int, ...]],
    optional: set[str] = frozenset(),
) -> None:
    """The same for any kind of file. Older spellings, which the libraries still read, count as today's."""
    found = {_today(name): tuple(shape) for name, shape in found.items()}
    expected = {_today(name): tuple(shape) for name, shape in expected.items()}
    optional = {_today(name) for name in optional}
    for name, shape in expected.items():
        if name not in found and name not in optional:
            raise UserError(f"{path}: tensor {name} {list(shape)} is missing")
        if found.get(name, shape) != shape:
            raise UserError(f"{path}: tensor {name} is {list(found[name])}, but its config.json says {list(shape)}")
    surplus = sorted(
        name for name in found.keys() - expected.keys() - optional if not name.endswith("embeddings.position_ids")
    )
    if surplus:
        raise UserError(f"{path}: tensor {surplus[0]} {list(found[surplus[0]])} does not belong to this model")


def load_model(cls: type, folder: str | Path, device: str = "cpu") -> torch.nn.Module:
    """A diffusers or transformers model of class `cls` from a local folder, float32, in eval mode.

    Checked first against what its own config.json says; every fault is one `UserError` that names the file.
    """
    folder = Path(folder)
    path = weights_file(folder)
    config = json.dumps(read_json(folder / "config.json"), sort_keys=True)
    try:
        shapes, tied = _described(cls, config)
    except Exception as error:  # whatever a class makes of a config that is not its own
        raise UserError(f"{folder / 'config.json'} does not describe a {cls.__name__}: {_one_line(error)}") from None
    check_shapes(path, shapes, tied)
    quieten()
    dtype = {"torch_dtype" if _of_diffusers(cls) else "dtype": torch.float32}  # transformers would keep fp16
    model = cls.from_pretrained(folder, use_safetensors=True, local_files_only=True, **dtype)
    return model.to(device).eval()


@lru_cache(maxsize=32)  # to build a UNet, even without memory, takes as long as to read it
def _described(cls: type, config: str) -> tuple[dict[str, tuple[int, ...]], set[str]]:
    """Shapes of the tensors that a model of this config has, and those that a file may leave out."""
    described = json.loads(config)
    with torch.device("meta"):  # shapes without memory
        blank = cls.from_config(described) if _of_diffusers(cls) else cls(cls.config_class.from_dict(described))
    shapes = {name: tuple(value.shape) for name, value in blank.state_dict().items()}
    return shapes, set(getattr(blank, "_tied_weights_keys", None) or {})


def _of_diffusers(cls: type) -> bool:
    return hasattr(cls, "from_config")


def save_half(model: torch.nn.Module, folder: str | Path) -> None:
    """Save a model as fp16 safetensors, which is how weights are shipped; the model itself is left in float32."""
    quieten()
    torch.nn.Module.half(copy.deepcopy(model)).save_pretrained(folder, safe_serialization=True)
    forget_origin(Path(folder))


def forget_origin(folder: Path) -> None:
    """Take the path that a model was loaded from out of its config.json: it says where, on whose machine."""
    path = folder / "config.json"
    if path.is_file():
        config = read_json(path)
        if config.pop("_name_or_path", None) is not None:
            write_json(path, config)


def folder_hash(folders: list[Path] | Path) -> str:
    """SHA-256 over the names and contents of all files of one or several folders: what a result was made with."""
    digest = hashlib.sha256()
    for folder in [folders] if isinstance(folders, Path) else folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def place_hash(place: Path) -> str:
    """SHA-256 of a file, or of a folder's files (`folder_hash`)."""
    return sha256(place) if place.is_file() else folder_hash(place)


# Stable Diffusion v1.5's autoencoder has diffusers' first names, and every CLIP before transformers 5.6 a prefix.
_FIRST_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def _today(name: str) -> str:
    """A tensor's name as the installed libraries write it."""
    name = re.sub(r"^text_model\.", "", name)
    old = re.fullmatch(r"(.*mid_block\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)", name)
    return f"{old[1]}.{_FIRST_NAMES[old[2]]}.{old[3]}" if old else name


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def quieten() -> None:
    """Switch off the libraries' own progress bars for reading and writing files of a few megabytes."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
