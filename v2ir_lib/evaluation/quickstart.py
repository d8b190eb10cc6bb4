"""`python -m v2ir_lib.evaluation.quickstart`: how good the shipped model is, in `results/quickstart.json`.

Three questions: which default scales and steps suit this model (asked of validation scenes), how its translations of
the held-out scenes compare with baselines that know nothing, and what it does to real photographs.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import typer
from tqdm.auto import tqdm

from v2ir_lib.diffusion.folders import INDEX
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.baselines import grey, inverted_grey, mean_training_image, nearest_pair
from v2ir_lib.evaluation.photographs import translate_photographs
from v2ir_lib.evaluation.pictures import save_sheet
from v2ir_lib.evaluation.provenance import provenance, weight_hashes
from v2ir_lib.evaluation.scenes import Scenes, autoencoded, translate
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.metrics.intervals import bootstrap_interval, paired_interval
from v2ir_lib.metrics.pixel import psnr, ssim
from v2ir_lib.plm.prepare import Encoders, stand_ins
from v2ir_lib.profiles import TINY
from v2ir_lib.weights import read_json
from v2ir_lib.world.cameras import STYLE_CAMERA
from v2ir_lib.world.packs import load_pack

NAMES = ("s_text", "s_visible", "s_segments")  # tried below; the last setting is the paper's
GRID = (
    (1.0, 1.0, 1.0),
    (1.5, 1.0, 1.0),
    (3.0, 1.0, 1.0),
    (1.5, 1.5, 1.5),
    (3.0, 1.5, 1.5),
    (7.5, 1.5, 1.5),
)  # last: paper
GRID_STEPS, STEPS = 10, (10, 20)  # for the scales, then tried with the best of them
GRID_SCENES = 32
SMOKE = {"grid": ((1.0, 1.0, 1.0), (1.5, 1.5, 1.5)), "steps": (3,), "grid_steps": 2}
BASELINES = ("inverted grey", "grey", "mean training image", "nearest training pair")


def choose_guidance(
    pipeline,
    scenes: Scenes,
    seed: int,
    *,
    grid: tuple[tuple[float, float, float], ...] = GRID,
    steps: tuple[int, ...] = STEPS,
    grid_steps: int = GRID_STEPS,
    count: int = GRID_SCENES,
) -> dict:
    """Scales, then steps, of the highest mean PSNR on validation scenes; every setting tried is returned with it."""
    truth = scenes.infrared[:count]

    def score(guidance: dict) -> dict:
        answers = translate(pipeline, scenes, guidance, seed, count)
        return guidance | {"psnr": float(psnr(answers, truth).mean()), "ssim": float(ssim(answers, truth).mean())}

    settings = [dict(zip(NAMES, values, strict=True)) for values in grid]
    tried = [score(setting | {"steps": grid_steps}) for setting in tqdm(settings, desc="scales", unit="setting")]
    best = max(tried, key=lambda one: one["psnr"])
    tried += [
        score({name: best[name] for name in NAMES} | {"steps": number}) for number in steps if number != grid_steps
    ]
    chosen = max(tried, key=lambda one: one["psnr"])
    return {
        "rule": f"highest mean PSNR on {len(truth)} validation scenes; scales first, at {grid_steps} steps, then steps",
        "chosen": {name: chosen[name] for name in (*NAMES, "steps")},
        "tried": [{name: round(value, 4) for name, value in one.items()} for one in tried],
    }


def compare(pictures: dict[str, np.ndarray], truth: np.ndarray, groups: dict[str, np.ndarray], seed: int) -> dict:
    """PSNR and SSIM of each method with 95% intervals, in each group, and "translation" minus the best baseline.

    `pictures` maps a method's name to its answers, uint8 (N, h, w); "best" is the baseline of the highest group mean.
    """
    report: dict = {}
    for metric, function in (("psnr", psnr), ("ssim", ssim)):
        scores = {name: function(answers, truth) for name, answers in pictures.items()}
        for group, members in groups.items():
            entry = {name: bootstrap_interval(values[members], seed).as_dict() for name, values in scores.items()}
            rivals = [name for name in BASELINES if name in scores]
            best = max(rivals, key=lambda name: entry[name]["mean"])
            gain = paired_interval(scores["translation"][members], scores[best][members], seed)
            entry["translation minus best baseline"] = {"baseline": best} | gain.as_dict()
            report.setdefault(group, {"scenes": len(members)})[metric] = entry
    return report


def held_out(pipeline, scenes: Scenes, style: Scenes, guidance: dict, seed: int) -> tuple[dict, dict[str, np.ndarray]]:
    """The comparison on held-out scenes, and the pictures that it compared. `style`: the pairs that phase 3 saw."""
    pictures = {
        "translation": translate(pipeline, scenes, guidance, seed),
        "inverted grey": inverted_grey(scenes.visible),
        "grey": grey(scenes.visible),
        "mean training image": mean_training_image(style.infrared, len(scenes)),
        "nearest training pair": nearest_pair(scenes.visible, style.visible, style.infrared),
        "autoencoder (ceiling)": autoencoded(pipeline, scenes.infrared),
    }
    return compare(pictures, scenes.infrared, scenes.groups(), seed), pictures


def measure(
    models: Path,
    results: Path,
    *,
    real: Path | None = None,
    seed: int = 0,
    set_defaults: bool = False,
    smoke: bool = False,
    limit: int | None = None,
) -> dict:
    """All of `quickstart.json`, written to `results` with its pictures. What was computed before is in the cache.

    With `set_defaults` the chosen scales and steps become the model's own, in `diffv2ir/model_index.json`.
    """
    profile, folder = TINY, models / "diffv2ir"
    encoders = Encoders(profile, stand_ins(models), workers=torch.get_num_threads())
    counts = {"validation": GRID_SCENES, "heldout": limit, "style": None}
    validation, heldout, style = (
        Scenes(load_pack(name, limit=6 if smoke else count), STYLE_CAMERA, encoders) for name, count in counts.items()
    )
    pipeline = DiffV2IRPipeline.from_pretrained(folder)
    guidance = choose_guidance(pipeline, validation, seed, **(SMOKE if smoke else {}))
    if set_defaults:
        write_json(folder / INDEX, read_json(folder / INDEX) | guidance["chosen"])
    groups, pictures = held_out(pipeline, heldout, style, guidance["chosen"], seed)
    draw(results / "figures" / "quickstart.jpg", heldout, pictures)
    report = {
        "about": f"translations into the camera {STYLE_CAMERA}, {profile.image_size} px; PSNR in dB and SSIM, data "
        "range 255, mean over scenes with 95% bootstrap intervals; fog overlaps with the times of day",
        "provenance": provenance(seed) | {"weights_sha256": weight_hashes(folder)},
        "guidance": guidance,
        "held_out": {"camera": STYLE_CAMERA, "scenes": len(heldout), "groups": groups},
    }
    if real is not None:
        # Other people's photographs are looked at, not committed: the picture goes to out/, only the figures are kept.
        report["real"] = translate_photographs(real, folder, repo_root() / "out" / "quickstart_real.jpg", seed)
    write_json(results / "quickstart.json", report)
    return report


def draw(path: Path, scenes: Scenes, pictures: dict[str, np.ndarray]) -> None:
    """Two scenes of each time of day and of fog, a row each: the first ones, not the best."""
    chosen = [(name, i) for name, members in scenes.groups().items() if name != "all" for i in members[:2]]
    columns = {
        "visible": scenes.visible,
        f"truth ({scenes.camera})": scenes.infrared,
        "translation": pictures["translation"],
        "inverted grey": pictures["inverted grey"],
        "nearest pair": pictures["nearest training pair"],
    }
    save_sheet(
        path,
        {name: [row[i] for _, i in chosen] for name, row in columns.items()},
        caption="Held-out scenes, the first two of each kind. Compare what is warm in the truth with the translation.",
        labels=[name for name, _ in chosen],
    )


def main(
    models: Path = typer.Option(repo_root() / "models" / "tiny", help="Folder of the stand-ins and of diffv2ir/."),
    out: Path = typer.Option(repo_root() / "results", help="Folder for quickstart.json and figures/."),
    real: Path = typer.Option(
        None, help="A folder of real photographs, beside an `infrared` folder of the same names."
    ),
    seed: int = typer.Option(0, help="Seed of the noise and of the intervals."),
    threads: int = typer.Option(None, min=1, help="CPU threads; all cores if not given."),
    set_defaults: bool = typer.Option(False, help="Write the chosen scales and steps into the model's folder."),
    smoke: bool = typer.Option(False, help="A few scenes and settings, to see that all parts run."),
    limit: int = typer.Option(None, min=16, help="Held-out scenes; all 512 if not given."),
) -> None:
    """Measure the shipped model and write results/quickstart.json.

    Example: python -m v2ir_lib.evaluation.quickstart --real ../shared/real_pairs/roadscene/visible
    """
    if threads:
        torch.set_num_threads(threads)
    try:
        report = measure(models, out, real=real, seed=seed, set_defaults=set_defaults, smoke=smoke, limit=limit)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    overall = report["held_out"]["groups"]["all"]["psnr"]
    for name in ("translation", *BASELINES, "autoencoder (ceiling)"):
        print(f"{name:24s} {overall[name]['mean']:6.2f} dB  [{overall[name]['low']:.2f}, {overall[name]['high']:.2f}]")
    print(f"wrote {out / 'quickstart.json'}")


if __name__ == "__main__":
    typer.run(main)
