"""The parts that a profile names by source: a folder here, a file here, or a name on the model hub.

Whatever the source, what is loaded is a local folder or file, by the same checked readers as the shipped weights. A
profile says where its parts come from; every one can be replaced by a local copy, by argument or by an environment
variable:

    V2IR_STABLE_DIFFUSION  folder with vae, text_encoder, tokenizer and unet in it
    V2IR_CAPTIONER         folder of BLIP
    V2IR_SEGMENTER         SAM's .pth file, or a folder that a pipeline saved

Memory and disk: Stable Diffusion v1.5's four parts are 4.3 GB in float32, BLIP 1 GB, SAM ViT-H 2.6 GB.
"""

import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import BlipConfig, BlipForConditionalGeneration, BlipProcessor

from v2ir_lib.diffusion.components import load_autoencoder, load_text_encoder, load_tokenizer, load_unet
from v2ir_lib.diffusion.folders import load_segmenter
from v2ir_lib.errors import UserError
from v2ir_lib.files import repo_root
from v2ir_lib.profiles import Profile
from v2ir_lib.vlum.captioner import load_captioner, load_captioner_processor
from v2ir_lib.vlum.vit_sam import load_published_sam
from v2ir_lib.weights import WEIGHT_FILES, compare_shapes, read_json

# part → folder inside a source that holds several parts
SUBFOLDERS = {"autoencoder": "vae", "text_encoder": "text_encoder", "tokenizer": "tokenizer", "unet": "unet"}
VARIABLES = {part: "V2IR_STABLE_DIFFUSION" for part in SUBFOLDERS} | {
    "captioner": "V2IR_CAPTIONER",
    "segmenter": "V2IR_SEGMENTER",
}
# What is fetched of a part on the hub: no second copies in other formats or half precision.
WANTED = ["*.json", "merges.txt", "vocab.txt", *WEIGHT_FILES]
PICKLED = "pytorch_model.bin"  # BLIP-base is published as a pickle only
SAM_ADDRESS = "https://dl.fbaipublicfiles.com/segment_anything/"


def find_part(profile: Profile, part: str, given: Mapping[str, str | Path] | None = None) -> Path:
    """The local folder or file of a part: "autoencoder", "text_encoder", "tokenizer", "unet", "captioner", "segmenter".

    `given[part]` comes first, then the environment variable, then the profile's source: below the repository, or
    fetched from the hub once. `UserError`, one line, where there is none and the hub cannot be reached.
    """
    named = (given or {}).get(part) or os.environ.get(VARIABLES[part])
    if named:
        path = Path(named)
        if not path.exists():
            raise UserError(f"no such file or folder: {path}, named as {part}")
        return _inside(path, part)
    source = getattr(profile.sources, part)
    for place in (repo_root() / source, Path(source)):
        if place.exists():
            return _inside(place, part)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        return _inside(fetch(source, part), part)
    where = f" from {SAM_ADDRESS}{source}" if part == "segmenter" and source.endswith(".pth") else ""
    raise UserError(f"{source} is not here: download it{where} and name it by {VARIABLES[part]}=PATH")


def load_part(profile: Profile, part: str, given: Mapping[str, str | Path] | None = None) -> Any:
    """A part, loaded and checked: a model in float32 and eval mode, or the tokenizer. BLIP: see `load_captioning`."""
    return load_place(profile, part, find_part(profile, part, given))


def load_place(profile: Profile, part: str, place: Path) -> Any:
    """The same from where `find_part` found it; also a "captioner_processor"."""
    if part == "segmenter" and place.is_file():
        return load_published_sam(place, profile.vision_transformer, profile.segmenter_sha256)
    return LOADERS[part](place)


def load_captioning(
    profile: Profile, given: Mapping[str, str | Path] | None = None
) -> tuple[BlipForConditionalGeneration, BlipProcessor]:
    """BLIP and its processor, from one folder, or from a pipeline's two (captioner, captioner_processor)."""
    place = find_part(profile, "captioner", given)
    return LOADERS["captioner"](place), load_captioner_processor(processor_of(place))


def processor_of(captioner: Path) -> Path:
    """The folder of BLIP's processor: BLIP's own, or the one beside it, as in a pipeline's folder."""
    beside = captioner.parent / "captioner_processor"
    alone = any((captioner / name).is_file() for name in ("processor_config.json", "preprocessor_config.json"))
    return captioner if alone or not beside.is_dir() else beside


def fetch(name: str, part: str) -> Path:
    """A hub model's files that a part needs, in the hub's cache; one `UserError` where they cannot be had."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    folder = SUBFOLDERS.get(part)
    wanted = [*WANTED, PICKLED] if part == "captioner" else WANTED
    patterns = [f"{folder}/{pattern}" for pattern in wanted] if folder else wanted
    mend = f"download {name} and name its folder by {VARIABLES[part]}=FOLDER"
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (RepositoryNotFoundError, GatedRepoError):
        raise UserError(f"the model hub has no {name} for you: {mend}") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        raise UserError(f"no network: {mend}") from None


def load_pickled_captioner(folder: Path) -> BlipForConditionalGeneration:
    """BLIP from pytorch_model.bin, under torch's allow-list (`weights_only`); float32, eval mode.

    `UserError` where the file is damaged, asks for anything but tensors, or does not fit its config.json.
    """
    path = folder / PICKLED
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
    except (pickle.UnpicklingError, RuntimeError, AttributeError, EOFError) as error:
        raise UserError(f"cannot read {path}: not a file of weights ({' '.join(str(error).split())[:120]})") from None
    config = BlipConfig.from_dict(read_json(folder / "config.json"))
    with torch.device("meta"):
        blank = BlipForConditionalGeneration(config)
    expected = {name: tuple(value.shape) for name, value in blank.state_dict().items()}
    compare_shapes(path, shapes, expected, set(blank._tied_weights_keys or {}))
    model = BlipForConditionalGeneration.from_pretrained(None, config=config, state_dict=weights, dtype=torch.float32)
    return model.eval()


def _inside(place: Path, part: str) -> Path:
    """A source with several parts in it: the part's own folder."""
    inner = place / SUBFOLDERS.get(part, "")
    return inner if part in SUBFOLDERS and inner.is_dir() else place


def _captioner(folder: Path) -> BlipForConditionalGeneration:
    has_safe = any((folder / name).is_file() for name in WEIGHT_FILES)
    return load_pickled_captioner(folder) if not has_safe and (folder / PICKLED).is_file() else load_captioner(folder)


LOADERS: dict[str, Callable[[Path], Any]] = {
    "autoencoder": load_autoencoder,
    "text_encoder": load_text_encoder,
    "tokenizer": load_tokenizer,
    "unet": load_unet,
    "captioner": _captioner,
    "captioner_processor": load_captioner_processor,
    "segmenter": load_segmenter,
}
