"""What a model trained on simulated scenes makes of real photographs, by the ordinary command.

`python -m v2ir_lib.evaluation.photographs FOLDER` draws `results/figures/photographs.jpg` from photographs that may be
shown, named so that the first come first.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import typer
from PIL import Image

from v2ir_lib.diffusion.folders import pipeline_hash
from v2ir_lib.diffusion.images import SUFFIXES, read_image, resize
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.baselines import grey
from v2ir_lib.evaluation.pictures import save_sheet
from v2ir_lib.files import cache_dir, repo_root, write_json
from v2ir_lib.metrics.intervals import bootstrap_interval, mean_per_group, paired_interval
from v2ir_lib.metrics.pixel import psnr, psnr_aligned, ssim, ssim_aligned

METRICS = {"psnr": psnr, "ssim": ssim, "psnr_aligned": psnr_aligned, "ssim_aligned": ssim_aligned}
SHOWN = 6


def translate_photographs(visible: Path, model: Path, figure: Path, seed: int) -> dict:
    """Translate a folder of photographs and compare with the folder `infrared` beside it, mean per scene.

    Time and memory are those of the ordinary command, `v2ir translate`, in a process of its own. The scene of each
    photograph is read from `manifest.csv` (columns id, scene) two folders up; without one each is its own scene.
    """
    if not visible.is_dir():
        raise UserError(f"no such folder: {visible}")
    out = cache_dir() / "evaluation" / f"real-{pipeline_hash(model)[:16]}-{seed}"
    if not (out / "summary.json").is_file():
        write_json(out / "summary.json", run_command(visible, out, model, seed))
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))

    names = sorted(path.name for path in visible.iterdir() if path.suffix.lower() in SUFFIXES)
    paired = [name for name in names if _truth(visible, name).is_file() and (out / f"{Path(name).stem}.png").is_file()]
    scores: dict = {metric: {"translation": [], "inverted grey": [], "grey": []} for metric in METRICS}
    shown, every = [], max(1, len(paired) // SHOWN)
    for number, name in enumerate(paired):
        photograph, truth = read_image(visible / name), np.asarray(Image.open(_truth(visible, name)).convert("L"))
        light = grey([photograph])[0]
        answers = {"translation": np.asarray(Image.open(out / f"{Path(name).stem}.png").convert("L"))}
        answers |= {"inverted grey": 255 - light, "grey": light}
        for metric, function in METRICS.items():
            for method, answer in answers.items():
                scores[metric][method].append(float(function(answer[None], truth[None])[0]))
        if number % every == 0 and len(shown) < SHOWN:
            shown.append([photograph, truth, answers["translation"], 255 - light])
    report = {
        "photographs": len(names),
        "seconds_per_image": round(summary["seconds_per_image"], 3),
        "load_seconds": round(summary["load_seconds"], 2),
        "peak_memory_gb": round(summary["peak_memory_bytes"] / 1e9, 3),
        "skipped": sorted(summary["skipped"].values()),
    }
    if not paired:
        return report | {"compared": 0}
    columns = dict(
        zip(("photograph", "true infrared", "translation", "inverted grey"), zip(*shown, strict=True), strict=True)
    )
    save_sheet(
        figure,
        {name: [resize(np.ascontiguousarray(picture), 160, 240) for picture in row] for name, row in columns.items()},
        caption="Real photographs, translated by a model that has seen simulated scenes only; spread over the folder.",
        cell=1.6,
    )
    scenes = _scenes(visible.parent.parent / "manifest.csv", paired)
    means = {m: {name: mean_per_group(v, scenes) for name, v in by.items()} for m, by in scores.items()}
    table = {m: {name: bootstrap_interval(v, seed).as_dict() for name, v in by.items()} for m, by in means.items()}
    for metric, by in means.items():
        gain = paired_interval(by["translation"], by["inverted grey"], seed).as_dict()
        table[metric]["translation minus inverted grey"] = gain
    return report | {
        "compared": len(paired),
        "scenes": len(set(scenes)),
        "about": "mean per scene at the photograph's own size; aligned: after the gain and offset that suit each "
        "picture best, which may invert it",
        **table,
    }


def draw_photographs(folder: Path, model: Path, figure: Path, seed: int = 0) -> None:
    """A sheet of a folder's photographs, each beside its translation and its negative: nobody knows the truth.

    Raises `UserError` where the folder holds no picture, or `v2ir translate` fails.
    """
    names = sorted(path.name for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not names:
        raise UserError(f"no pictures in {folder}")
    out = cache_dir() / "evaluation" / f"photographs-{pipeline_hash(model)[:16]}-{seed}"
    run_command(folder, out, model, seed)
    columns: dict[str, list[np.ndarray]] = {"photograph": [], "translation": [], "inverted grey": []}
    for name in names:
        photograph = _middle(read_image(folder / name))
        answer = _middle(np.asarray(Image.open(out / f"{Path(name).stem}.png").convert("L")))
        for column, picture in zip(columns.values(), (photograph, answer, 255 - grey([photograph])[0]), strict=True):
            column.append(resize(picture, 200, 200))
    save_sheet(figure, columns, caption="Real photographs; the model has seen simulated scenes only.", cell=1.8)


def _middle(picture: np.ndarray) -> np.ndarray:
    """The largest square around the middle."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def run_command(visible: Path, out: Path, model: Path, seed: int) -> dict:
    """`v2ir translate` in its own process, so that its memory is its own; what it reports of itself."""
    code = "import sys; from v2ir_lib.cli import main; sys.exit(main())"
    words = ["translate", visible, out, "--model", model, "--seed", seed, "--overwrite", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True, check=False
    )
    if not done.stdout.strip():
        raise UserError(f"v2ir translate {visible} failed with exit code {done.returncode}")
    return json.loads(done.stdout)


def _truth(visible: Path, name: str) -> Path:
    return visible.parent / "infrared" / f"{Path(name).stem}.png"


def _scenes(manifest: Path, names: list[str]) -> list[str]:
    """The scene of each photograph; its own name where the manifest says nothing."""
    known = {}
    if manifest.is_file():
        with open(manifest, encoding="utf-8", newline="") as file:
            known = {row["id"]: row["scene"] for row in csv.DictReader(file) if row.get("scene")}
    return [known.get(Path(name).stem, Path(name).stem) for name in names]


def main(
    folder: Path = typer.Argument(help="A folder of photographs that may be shown."),
    model: Path = typer.Option(repo_root() / "models" / "tiny" / "diffv2ir", help="A pipeline folder."),
    out: Path = typer.Option(repo_root() / "results" / "figures" / "photographs.jpg", help="The picture to write."),
    seed: int = typer.Option(0, help="Seed of the noise."),
) -> None:
    """Draw real photographs beside their translations.

    Example: python -m v2ir_lib.evaluation.photographs my_photographs/
    """
    try:
        draw_photographs(folder, model, out, seed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
