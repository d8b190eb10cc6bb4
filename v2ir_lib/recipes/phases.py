"""The three phases of the tiny profile, as they were run for the shipped weights.

The training itself is `plm.train`; a recipe loads what a phase starts from, runs it, saves what it leaves, and draws.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from v2ir_lib.diffusion.components import load_unet
from v2ir_lib.diffusion.folders import ALLOWED
from v2ir_lib.diffusion.images import resize
from v2ir_lib.diffusion.lora import add_lora, base_hash, load_lora, merge_lora, save_lora
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline, pipeline_settings
from v2ir_lib.diffusion.sampling import make_scheduler
from v2ir_lib.diffusion.widening import widen
from v2ir_lib.evaluation.baselines import inverted_grey
from v2ir_lib.evaluation.pictures import save_sheet
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import atomic_path, write_json
from v2ir_lib.plm.cache import CHUNK
from v2ir_lib.plm.imagine import imagine
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.phases import Phase, get_phase
from v2ir_lib.plm.prepare import Encoders, infrared_pictures, load_data, stand_ins
from v2ir_lib.plm.state import Progress
from v2ir_lib.plm.train import train
from v2ir_lib.profiles import TINY
from v2ir_lib.recipes.stage import Run, save_half, seed_everything
from v2ir_lib.world.cameras import CAMERAS, STYLE_CAMERA, TRAIN_CAMERAS

# In diffv2ir/model_index.json: components that stay where the stand-ins' recipes put them.
SHARED = {
    "vae": "../autoencoder",
    "text_encoder": "../text_encoder",
    "tokenizer": "../tokenizer",
    "captioner": "../captioner",
    "captioner_processor": "../captioner",
    "segmenter": "../segmenter",
}
FIGURE_SCENES = 8


def train_phase1(run: Run) -> None:
    """LoRA on the text-to-image UNet, infrared pictures only; leaves `phase1_lora/` and the base as it was."""
    phase, encoders = _phase("phase1", run), _encoders(run)
    data = load_data(run.pack(phase.pack), phase, encoders)
    unet = load_unet(run.models / "base_unet")
    untouched = base_hash(unet)
    pictures = [_imagined(unet, encoders, phase, run.seed)]
    seed_everything(run.seed, "phase1")  # the first matrices of LoRA are random
    add_lora(unet, phase.settings.lora_rank)
    progress = _train(unet, phase, data, encoders, run)
    if base_hash(unet) != untouched:
        raise AssertionError("phase 1 changed the base model: only LoRA's matrices may train")
    with atomic_path(run.models / "phase1_lora") as temporary:
        save_lora(unet.half(), temporary)
    unet = merge_lora(load_lora(load_unet(run.models / "base_unet"), run.models / "phase1_lora"))
    pictures.append(_imagined(unet, encoders, phase, run.seed))
    save_sheet(
        run.figure("phase1"),
        {f"seed {run.seed + i}": list(pair) for i, pair in enumerate(zip(*pictures, strict=True))},
        caption=f"“{phase.prompt}”, by the text-to-image model: the same noise above and below.",
        labels=["base model", "after phase 1"],
    )
    _record(run, phase, progress, {"base_untouched": untouched})


def train_phase2(run: Run) -> None:
    """From visible to infrared in any camera's look: the merged base, widened to 12 channels; leaves `phase2_unet/`."""
    phase, encoders = _phase("phase2", run), _encoders(run)
    unet = widen(merge_lora(load_lora(load_unet(run.models / "base_unet"), run.models / "phase1_lora")))
    data = load_data(run.pack(phase.pack), phase, encoders)
    progress = _train(unet, phase, data, encoders, run)
    save_half(unet, run.models / "phase2_unet")
    camera = next(name for name in TRAIN_CAMERAS if CAMERAS[name].band == "lwir")
    pipeline = pipeline_of(run.models, load_unet(run.models / "phase2_unet"))
    draw_translations(run.figure("phase2"), run.pack("validation"), camera, pipeline, encoders, run.seed)
    _record(run, phase, progress, {})


def train_phase3(run: Run) -> None:
    """One camera's style from 64 pairs; leaves `diffv2ir/`, the pipeline that `v2ir translate` uses."""
    phase, encoders = _phase("phase3", run), _encoders(run)
    unet = load_unet(run.models / "phase2_unet")
    data = load_data(run.pack(phase.pack), phase, encoders)
    progress = _train(unet.requires_grad_(True), phase, data, encoders, run)
    pipeline_of(run.models, unet).save_pretrained(run.models / "diffv2ir", half=True, shared=SHARED)
    pipeline = DiffV2IRPipeline.from_pretrained(run.models / "diffv2ir", device=run.device)
    draw_translations(run.figure("phase3"), run.pack("validation"), STYLE_CAMERA, pipeline, encoders, run.seed)
    _record(
        run, phase, progress, {"figure": f"visible, segments, infrared ({STYLE_CAMERA}), translated, inverted grey"}
    )


def pipeline_of(models: Path, unet: UNet2DConditionModel) -> DiffV2IRPipeline:
    """A pipeline of the stand-ins in `models` around a UNet, with the tiny profile's settings."""
    parts = {name: ALLOWED[name][1]((models / "diffv2ir" / place).resolve()) for name, place in SHARED.items()}
    return DiffV2IRPipeline(
        **parts,
        unet=unet.to("cpu").eval(),
        scheduler=make_scheduler(TINY.prediction),
        **pipeline_settings(TINY),
    )


def draw_translations(path: Path, pack, camera: str, pipeline: DiffV2IRPipeline, encoders: Encoders, seed: int) -> None:
    """A sheet of a pack's first scenes: visible, segments, true infrared, translation, inverted grey."""
    count, size = min(FIGURE_SCENES, len(pack)), TINY.image_size
    visible = [resize(np.asarray(picture), size, size) for picture in pack.visible[:count]]
    notes = encoders.annotate(pack.visible[:CHUNK], pack.name)  # a whole chunk, which other readers find in the cache
    segments = list(notes.segments[:count])
    translated = pipeline(visible, caption=notes.captions[:count], segments=segments, seed=seed, batch_size=32)
    columns = {
        "visible": visible,
        "segments": [resize(picture, size, size) for picture in segments],
        f"truth ({camera})": infrared_pictures(pack, range(count), camera),
        "translation": [np.asarray(picture) for picture in translated.images],
        "inverted grey": inverted_grey(np.stack(visible)),
    }
    save_sheet(path, columns, caption="The first validation scenes, with the tiny profile's default scales.")


def _train(unet: UNet2DConditionModel, phase: Phase, data, encoders: Encoders, run: Run) -> Progress:
    loss = Loss(phase, encoders.scaling_factor, encoders.text([""]))
    return train(unet, phase, data, loss, seed=run.seed, folder=run.work / phase.name, device=run.device)


def _phase(name: str, run: Run) -> Phase:
    """The phase at the tiny size, with the number of steps that the run asks for."""
    phase = get_phase(name, TINY)
    return phase if run.steps is None else replace(phase, settings=replace(phase.settings, steps=run.steps))


def _encoders(run: Run) -> Encoders:
    return Encoders(TINY, stand_ins(run.models), run.device, workers=torch.get_num_threads())


def _imagined(unet: UNet2DConditionModel, encoders: Encoders, phase: Phase, seed: int) -> np.ndarray:
    """What the text-to-image model makes of phase 1's prompt."""
    text = encoders.text([phase.prompt, ""])
    size = TINY.image_size // 2 ** (len(encoders.autoencoder.config.block_out_channels) - 1)
    prompts = text[:1].expand(FIGURE_SCENES, -1, -1)
    return imagine(
        unet.eval(),
        encoders.autoencoder,
        prompts,
        text[1:],
        latent_size=size,
        prediction=phase.prediction,
        s_text=1.5,
        steps=TINY.guidance.steps,
        seed=seed,
    )


def _record(run: Run, phase: Phase, progress: Progress, notes: dict) -> None:
    """`results/recipes/<phase>.json`, with the fields of every other stage's record."""
    settings, width = phase.settings, max(1, len(progress.losses) // 200)
    curve = [
        {"step": start + width, "loss": round(float(np.mean(progress.losses[start : start + width])), 6)}
        for start in range(0, len(progress.losses) - width + 1, width)
    ]
    record = {
        "stage": phase.name,
        "complete": settings.steps >= getattr(TINY, phase.name).steps,
        "steps": settings.steps,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "schedule": "constant",
        "ema_decay": settings.ema_decay,
        "dropout": phase.dropout,
        "cameras": list(phase.cameras),
        "trained_parameters": progress.trained_parameters,
        "seconds": round(progress.seconds, 1),
        "seconds_per_step": round(progress.seconds / settings.steps, 4),
        "notes": notes,
        "provenance": provenance(run.seed),
        "curve": curve,
    }
    write_json(run.results / "recipes" / f"{phase.name}.json", record)
    shutil.rmtree(run.work / phase.name, ignore_errors=True)  # the checkpoints have served
    print(f"{phase.name}: done, {settings.steps} steps in {progress.seconds / 60:.1f} minutes")
