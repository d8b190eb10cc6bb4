"""What a finished run leaves in its folder: a UNet, LoRA's part of it, or a whole pipeline that `v2ir translate` takes.

unet/                       the UNet; after LoRA the base with it merged in, ready for the next phase
lora/                       phase 1, or --lora: what was trained, alone
model_index.json, vae/, …   with the UNet a complete pipeline: after phase 3, or where it was asked for
train.json                  what was trained, and how: written last, so it says that all the rest is there
"""

import shutil
from pathlib import Path

from diffusers import UNet2DConditionModel

from v2ir_lib.diffusion.folders import INDEX
from v2ir_lib.diffusion.full import load_place
from v2ir_lib.diffusion.lora import merge_lora, save_lora
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline, pipeline_settings
from v2ir_lib.diffusion.sampling import make_scheduler
from v2ir_lib.files import atomic_path, write_json
from v2ir_lib.plm.start import IN_PIPELINE
from v2ir_lib.profiles import Profile
from v2ir_lib.weights import forget_origin, quieten

RECORD = "train.json"


def pipeline_of(profile: Profile, parts: dict[str, Path], unet: UNet2DConditionModel) -> DiffV2IRPipeline:
    """A pipeline of frozen parts (see `start.frozen_parts`) around a UNet, with the profile's settings."""
    return DiffV2IRPipeline(
        **{IN_PIPELINE[part]: load_place(profile, part, place) for part, place in parts.items()},
        unet=unet.to("cpu").eval(),
        scheduler=make_scheduler(profile.prediction),
        **pipeline_settings(profile),
    )


def write_unet(unet: UNet2DConditionModel, out: Path, lora: bool) -> None:
    """`unet/`, and with LoRA beside the weights `lora/`, merged afterwards. float32: it may be trained further."""
    quieten()
    if lora:
        with atomic_path(out / "lora") as temporary:
            save_lora(unet, temporary)
        merge_lora(unet)
    with atomic_path(out / "unet") as temporary:
        unet.save_pretrained(temporary, safe_serialization=True)
        forget_origin(temporary)


def write_pipeline(pipeline: DiffV2IRPipeline, out: Path) -> None:
    """A complete pipeline in `out`, beside what is there already; its index comes last."""
    staging = out / ".pipeline"
    shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed here
    pipeline.save_pretrained(staging)
    for part in sorted(path for path in staging.iterdir() if path.name != INDEX):
        shutil.rmtree(out / part.name, ignore_errors=True)
        part.replace(out / part.name)
    (staging / INDEX).replace(out / INDEX)
    staging.rmdir()


def write_record(out: Path, record: dict) -> None:
    """The mark of a finished run."""
    write_json(out / RECORD, record)
