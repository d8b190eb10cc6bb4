"""`v2ir convert-official`: the authors' checkpoint, in CompVis's layout, into a folder that `v2ir translate` takes.

    model.diffusion_model.*        the UNet, 12 input channels                 → unet
    model_ema.diffusion_model…     its moving average, names without dots      → unet, unless told otherwise
    first_stage_model.*            the autoencoder                             → vae
    cond_stage_model.transformer.* CLIP's text encoder                         → text_encoder

CompVis counts blocks through the network, diffusers by resolution; diffusers' own functions know both. What is
converted is held against the profile's configuration, tensor by tensor: nothing may be missing, nothing left over.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from tqdm.auto import tqdm
from transformers import CLIPTextConfig, CLIPTextModel

from v2ir_lib.diffusion.compvis_unpickle import Checkpoint
from v2ir_lib.diffusion.full import load_captioning, load_part
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline, pipeline_settings
from v2ir_lib.diffusion.sampling import make_scheduler
from v2ir_lib.errors import UserError
from v2ir_lib.profiles import Profile
from v2ir_lib.weights import compare_shapes

UNET, EMA, VAE, TEXT = "model.diffusion_model.", "model_ema.", "first_stage_model.", "cond_stage_model.transformer."
FIRST = UNET + "input_blocks.0.0.weight"
LAYOUT = "a CompVis checkpoint (names like model.diffusion_model.…)"


@dataclass(frozen=True)
class Converted:
    """What was made of a checkpoint."""

    folder: str
    averaged: bool  # whether the UNet is the moving average
    parameters: dict[str, int]  # of UNet, autoencoder and text encoder
    captioner: bool
    segmenter: bool

    def as_dict(self) -> dict:
        """For `--json`."""
        return asdict(self)

    def summary(self) -> str:
        """For a person."""
        kind = "moving average" if self.averaged else "weights, not averaged"
        counts = ", ".join(f"{name} {count:,}" for name, count in self.parameters.items())
        lacks = [part for part in ("captioner", "segmenter") if not getattr(self, part)]
        return f"{self.folder}: {kind}; parameters: {counts}" + (f"; without {' and '.join(lacks)}" if lacks else "")


def convert_official(
    checkpoint: str | Path,
    output: str | Path,
    *,
    profile: Profile,
    averaged: bool = True,
    given: Mapping[str, str | Path] | None = None,
) -> Converted:
    """Read a checkpoint (.ckpt or .safetensors) and write a pipeline folder of safetensors, whole or not at all.

    averaged: the moving average of the UNet, as the released `infer.py` uses, or the weights it was the average of.
    given: local folders or files for "tokenizer", "captioner" and "segmenter", which a checkpoint does not hold. The
    tokenizer is otherwise the profile's; without a captioner `translate` needs a prompt, without a segmenter it stops.
    Raises `UserError`, one line, for a file that is not such a checkpoint; nothing is written then. Tensors are
    mapped from the file: the most memory that is needed at a time is that of its cache.
    """
    given, output = dict(given or {}), Path(output)
    _check_free(output)
    with tqdm(total=7, desc="converting", unit="part") as bar:

        def done(part: str):
            bar.set_postfix_str(part)
            bar.update()

        tensors = open_checkpoint(checkpoint)
        check_layout(tensors, checkpoint, averaged)
        done("file read")
        tokenizer = load_part(profile, "tokenizer", given)
        done("tokenizer")
        unet = convert_unet(tensors, profile, checkpoint, averaged)
        done("UNet")
        vae = convert_autoencoder(tensors, profile, checkpoint)
        done("autoencoder")
        text_encoder = convert_text_encoder(tensors, profile, checkpoint)
        done("text encoder")
        captioner, processor = load_captioning(profile, given) if "captioner" in given else (None, None)
        segmenter = load_part(profile, "segmenter", given) if "segmenter" in given else None
        done("captioner, segmenter")
        pipeline = DiffV2IRPipeline(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=make_scheduler(profile.prediction),
            captioner=captioner,
            captioner_processor=processor,
            segmenter=segmenter,
            **pipeline_settings(profile),
        )
        pipeline.save_pretrained(output)
        done("written")
    parts = {"unet": unet, "vae": vae, "text_encoder": text_encoder}
    counts = {name: sum(value.numel() for value in part.parameters()) for name, part in parts.items()}
    return Converted(str(output), averaged, counts, captioner is not None, segmenter is not None)


def open_checkpoint(path: str | Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a .ckpt or a .safetensors, mapped; told apart by their first bytes, not by their names."""
    path = Path(path)
    if path.is_file():
        with open(path, "rb") as file:
            first = file.read(9)
        if first[8:] == b"{":  # safetensors: eight bytes of length, then JSON
            try:
                return load_file(path)
            except (SafetensorError, OSError) as error:
                raise UserError(f"{path} is truncated, or not a safetensors file ({error})") from None
    return Checkpoint(path)


def check_layout(tensors: Mapping[str, torch.Tensor], path: str | Path, averaged: bool) -> None:
    """`UserError` unless these are DiffV2IR's tensors in CompVis's layout; says what they are where that is known."""
    if FIRST not in tensors:
        raise UserError(f"{path} is not {LAYOUT}: it has no {FIRST}")
    channels = tensors[FIRST].shape[1]
    known = {4: "a plain Stable Diffusion file", 8: "an InstructPix2Pix file", 9: "a Stable Diffusion inpainting file"}
    if channels != 12:
        what = known.get(channels, "another model's file")
        raise UserError(f"{path} is {what}: its UNet reads {channels} channels, DiffV2IR's reads the 12 of [z, V, S]")
    for prefix, what in ((VAE, "autoencoder"), (TEXT, "text encoder")):
        if not any(name.startswith(prefix) for name in tensors):
            raise UserError(f"{path} holds no {what} ({prefix}*): a whole checkpoint of training is needed")
    if averaged and ema_name(FIRST) not in tensors:
        raise UserError(f"{path} holds no moving average (model_ema.*): add --no-ema to take the weights themselves")


def ema_name(name: str) -> str:
    """What CompVis calls the average of a weight: model.diffusion_model.a.b → model_ema.diffusion_modelab."""
    return EMA + name.removeprefix("model.").replace(".", "")


def convert_unet(
    tensors: Mapping[str, torch.Tensor], profile: Profile, path: str | Path, averaged: bool
) -> UNet2DConditionModel:
    """The UNet, in eval mode. `UserError` where a tensor is missing, left over or of another shape."""
    config = profile.unet | {"in_channels": 12}
    source = {}
    for name in tensors:
        if name.startswith(UNET):
            taken = ema_name(name) if averaged else name
            if taken not in tensors:
                raise UserError(f"{path} is incomplete: the moving average lacks {taken}; --no-ema does without it")
            source[name] = tensors[taken]
    made = convert_ldm_unet_checkpoint(source, config)
    return _fill(UNet2DConditionModel, config, made, len(source), path)


def convert_autoencoder(tensors: Mapping[str, torch.Tensor], profile: Profile, path: str | Path) -> AutoencoderKL:
    """E and D, in eval mode, with the scaling factor of the profile. The discriminator (`loss.`) is left out."""
    source = {name: tensors[name] for name in tensors if name.startswith(VAE) and not name.startswith(VAE + "loss.")}
    try:
        made = convert_ldm_vae_checkpoint(source, profile.autoencoder)
    except KeyError as error:
        raise UserError(f"{path} is incomplete: the autoencoder lacks {error}") from None
    return _fill(AutoencoderKL, profile.autoencoder, made, len(source), path)


def convert_text_encoder(tensors: Mapping[str, torch.Tensor], profile: Profile, path: str | Path) -> CLIPTextModel:
    """CLIP's text encoder, in eval mode. The list of positions, which older files keep, is not a weight."""
    source = {name: tensors[name] for name in tensors if name.startswith(TEXT) and not name.endswith("position_ids")}
    made = {name.removeprefix("text_model."): value for name, value in convert_ldm_clip_checkpoint(source).items()}
    return _fill(CLIPTextModel, profile.text_encoder, made, len(source), path)


def _fill(cls: type, config: dict, made: dict[str, torch.Tensor], count: int, path: str | Path) -> torch.nn.Module:
    """A model without weights of its own, and these put into it; `count` is how many the file has of them."""
    with init_empty_weights():  # buffers that are not saved are real
        model = cls(CLIPTextConfig(**config)) if cls is CLIPTextModel else cls.from_config(config)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in made.items() if value is not None}
    compare_shapes(path, found, expected)
    if len(found) != count:
        raise UserError(f"{path} does not hold just a {cls.__name__}: {count} tensors, of which {len(found)} are known")
    model.load_state_dict({name: value.contiguous() for name, value in made.items()}, strict=True, assign=True)
    return model.eval()


def _check_free(output: Path) -> None:
    """A folder that is something else must not be replaced."""
    if output.is_file():
        raise UserError(f"{output} is a file: give a folder to write to")
    if output.is_dir() and any(output.iterdir()) and not (output / "model_index.json").is_file():
        raise UserError(f"{output} has other files in it, which would be replaced: give a new folder")
