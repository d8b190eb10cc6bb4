"""`python -m v2ir_lib.recipes.measure`: how good the stand-ins are on held-out scenes → results/standins.json."""

import sys
from pathlib import Path

import numpy as np
import torch
import typer
from tqdm.auto import tqdm

from v2ir_lib.diffusion.components import load_autoencoder, load_unet
from v2ir_lib.diffusion.latents import decode
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import write_json
from v2ir_lib.metrics.frechet import frechet_distance
from v2ir_lib.plm.imagine import imagine
from v2ir_lib.profiles import TINY
from v2ir_lib.recipes import captioner_score, segmenter_score
from v2ir_lib.recipes.autoencoder import reconstruct
from v2ir_lib.recipes.base import base_encoders, latent_size
from v2ir_lib.recipes.pictures import infrared_pictures, segment_pictures, sheet, shrink
from v2ir_lib.recipes.stage import Run, key
from v2ir_lib.recipes.words import image_features, similarities
from v2ir_lib.weights import folder_hash
from v2ir_lib.world.cameras import CAMERAS

CHOICES = 32  # captions to choose from
GUIDANCE, SAMPLING_STEPS = 2.0, 20
SEGMENTED = 128  # scenes that SAM's stand-in is measured on: it takes most of the time


def psnr(answers: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Decibels of each picture over all its pixels and channels; uint8 (N, H, W, 3) twice → (N,)."""
    error = ((answers.astype(np.float64) - truths) ** 2).mean(axis=(1, 2, 3))
    return 10 * np.log10(255**2 / error.clip(min=1e-4))


def autoencoder_quality(run: Run, pack) -> dict:
    """PSNR in dB of reconstructions: visible, infrared in every camera and band, true segmentation maps."""
    vae = load_autoencoder(run.models / "autoencoder", run.device)
    size = TINY.image_size
    sets = {"visible": shrink(pack.visible, size), "segments": segment_pictures(pack, list(range(len(pack))), size)}
    some = max(1, len(pack) // 4)  # a quarter of the scenes in each camera
    for name in CAMERAS:
        sets[name] = infrared_pictures(pack.radiance[:some], [name] * some, key(run.seed, "measure", name))
    decibels = {name: psnr(reconstruct(vae, truth), truth) for name, truth in sets.items()}
    cameras = {name: round(float(decibels[name].mean()), 2) for name in CAMERAS}
    bands = {camera.band for camera in CAMERAS.values()}
    return {
        "unit": "dB, mean over pictures of 96 px",
        "visible": _spread(decibels["visible"]),
        "infrared": _spread(np.concatenate([decibels[name] for name in CAMERAS])),
        "segments": _spread(decibels["segments"]),
        "infrared_by_band": {
            band: round(float(np.mean([cameras[n] for n in CAMERAS if CAMERAS[n].band == band])), 2)
            for band in sorted(bands)
        },
        "infrared_by_camera": cameras,
        "scaling_factor": vae.config.scaling_factor,
    }


def _spread(values: np.ndarray) -> dict:
    low, middle, high = np.percentile(values, (5, 50, 95))
    found = {"mean": values.mean(), "p5": low, "median": middle, "p95": high}
    return {name: round(float(value), 2) for name, value in found.items()} | {"pictures": len(values)}


def chosen_rightly(similar: np.ndarray, captions: list[str], choices: int, seed: int) -> float:
    """How often a picture's own caption wins among `choices`.

    similar: (N, N), pictures × texts, a picture's own text on the diagonal. The others are drawn with all captions
    different. Of k captions equally similar at the top each counts 1/k, so a model that cannot tell them apart scores
    chance. Fewer different captions than `choices`: `ValueError`.
    """
    first = {caption: number for number, caption in reversed(list(enumerate(captions)))}
    if len(first) < choices:
        raise ValueError(f"{len(first)} different captions, {choices} needed")
    rng, right = np.random.default_rng(seed), []
    for i, caption in enumerate(captions):
        others = [number for text, number in first.items() if text != caption]
        values = similar[i, rng.choice(others, choices - 1, replace=False)]
        ties = int((values == similar[i, i]).sum())
        right.append(0.0 if (values > similar[i, i]).any() else 1 / (1 + ties))
    return float(np.mean(right))


def words_quality(run: Run, pack) -> dict:
    """Retrieval among 32 captions, and whether the towers know infrared pictures from visible ones by the word."""
    choices = min(CHOICES, len(set(pack.captions)))
    visible = shrink(pack.visible, TINY.image_size)
    camera = next(name for name in CAMERAS if CAMERAS[name].band == "lwir")
    infrared = infrared_pictures(pack.radiance, [camera] * len(pack), key(run.seed, "measure", "words"))
    plain, prompted = pack.captions, [f"an infrared image of {caption}" for caption in pack.captions]
    seen, heat = similarities(run.models, visible, plain).numpy(), similarities(run.models, infrared, prompted).numpy()
    crossed = [similarities(run.models, visible, prompted), similarities(run.models, infrared, plain)]
    known = [np.diag(seen) > crossed[0].diag().numpy(), np.diag(heat) > crossed[1].diag().numpy()]
    return {
        "choices": choices,
        "chance": round(1 / choices, 4),
        "visible": chosen_rightly(seen, plain, choices, run.seed),
        "infrared": chosen_rightly(heat, prompted, choices, run.seed),
        "infrared_camera": camera,
        "word_infrared_chosen_rightly": float(np.mean(known)),
        "pictures": len(pack),
    }


@torch.no_grad()
def base_quality(run: Run, pack, other) -> dict:
    """FD-tiny of samples for the held-out captions against their real scenes, between noise and other real scenes."""
    encoders, unet = base_encoders(run), load_unet(run.models / "base_unet", run.device)
    null, parts, count = encoders.text([""]), [], len(pack)
    for start in tqdm(range(0, count, 32), desc="samples of the base model"):
        text = encoders.text(pack.captions[start : start + 32])
        settings = dict(
            latent_size=latent_size(),
            prediction=TINY.prediction,
            s_text=GUIDANCE,
            steps=SAMPLING_STEPS,
            seed=run.seed + start,
        )
        parts.append(imagine(unet, encoders.autoencoder, text, null, **settings))
    samples, real = np.concatenate(parts), shrink(pack.visible, TINY.image_size)
    shown = slice(0, 12)
    sheet(run.figure("base_samples"), [samples[shown], real[shown], samples[12:24], real[12:24]])
    generator = torch.Generator().manual_seed(key(run.seed, "measure", "noise"))
    latents = torch.randn(count, 4, latent_size(), latent_size(), generator=generator).to(run.device).split(32)
    noise = torch.cat([decode(encoders.autoencoder, part).cpu() for part in latents])
    pixels = ((noise + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    features = {
        name: image_features(run.models, pictures).numpy()
        for name, pictures in {
            "real": real,
            "samples": samples,
            "decoded_noise": pixels,
            "other_real": shrink(other.visible[:count], TINY.image_size),
        }.items()
    }
    distances = {
        name: round(frechet_distance(found, features["real"]), 4) if count > found.shape[1] else None
        for name, found in features.items()
        if name != "real"
    }
    return {
        "fd_tiny": distances,
        "features": "64, projection of models/tiny/clip_vision",
        "pictures": count,
        "other_real": f"the first {count} scenes of the pack {other.name!r}, which the model was trained on",
        "guidance": GUIDANCE,
        "sampling_steps": SAMPLING_STEPS,
        "right_caption_among": {
            "choices": min(CHOICES, len(set(pack.captions))),
            "samples": chosen_rightly(
                similarities(run.models, samples, pack.captions).numpy(),
                pack.captions,
                min(CHOICES, len(set(pack.captions))),
                run.seed,
            ),
        },
    }


def measure(run: Run) -> dict:
    """All stand-ins that are there, on the held-out scenes; writes results/standins.json after each, returns it."""
    pack = run.pack("heldout")
    stand_ins = {
        "autoencoder": lambda: autoencoder_quality(run, pack),
        "clip_vision": lambda: words_quality(run, pack),
        "base_unet": lambda: base_quality(run, pack, run.pack("pairs")),
        "captioner": lambda: captioner_score.measure(run.models / "captioner", pack),
        "segmenter": lambda: segmenter_score.measure(run.models / "segmenter", pack, limit=SEGMENTED),
    }
    asked = [run.models / name for name in ("text_encoder", "tokenizer") if (run.models / name).is_dir()]  # by several
    told = provenance(run.seed) | {"weights_sha256": {folder.name: folder_hash(folder) for folder in asked}}
    found = {"measured_on": f"{len(pack)} held-out scenes", "provenance": told}
    for folder, quality in stand_ins.items():
        if not (run.models / folder).is_dir():
            print(f"{folder}: not trained yet, left out")
            continue
        found[folder] = quality()
        told["weights_sha256"][folder] = folder_hash(run.models / folder)
        print(f"{folder}: {found[folder]}")
        write_json(run.results / "standins.json", found)
    return found


def main(
    threads: int = typer.Option(None, min=1, help="CPU threads; all cores if not given."),
    out: Path = typer.Option(None, help="Folder with models/ and results/, in place of the repository's own."),
    seed: int = typer.Option(0, help="Seed of everything random."),
    limit: int = typer.Option(None, min=1, help="Scenes read; all if not given. Fewer than 65: no FD-tiny."),
) -> None:
    """Measure the stand-ins on held-out scenes and write results/standins.json."""
    if threads:
        torch.set_num_threads(threads)
    run = Run(seed=seed, limit=limit)
    if out:
        run.models, run.results, run.work = out / "models" / "tiny", out / "results", out / "work"
    try:
        measure(run)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
