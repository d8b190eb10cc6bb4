"""`python -m v2ir_lib.evaluation.measuring`: the shipped model by every measure, beside baselines that know nothing.

Writes `results/measuring.json`, which notebook 09 reads: metrics, physics checks and errors by class of each method on
the held-out scenes, paired differences, FD-tiny and KID-tiny. The autoencoder is the ceiling, the truth the proof that
every check can be passed.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import typer
from PIL import Image
from tqdm.auto import tqdm

from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.baselines import grey, inverted_grey, mean_training_image, nearest_pair
from v2ir_lib.evaluation.provenance import provenance, weight_hashes
from v2ir_lib.evaluation.quickstart import NAMES
from v2ir_lib.evaluation.scenes import Scenes, autoencoded, translate
from v2ir_lib.evaluation.scores import METRICS, Scores, score
from v2ir_lib.evaluation.summaries import LEVEL, checks_of, classes_of, differences_of, metrics_of
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.metrics.distribution import FD_LEAST, KID_LEAST, feature_distance, kernel_distance
from v2ir_lib.metrics.features import TOWER, tiny_features, tiny_tower
from v2ir_lib.plm.prepare import Encoders, stand_ins
from v2ir_lib.profiles import TINY
from v2ir_lib.world.cameras import STYLE_CAMERA
from v2ir_lib.world.packs import load_pack

TRANSLATION, CEILING, TRUTH = "translation", "autoencoder (ceiling)", "truth"
WHOLE = "all"  # the group of all scenes
MARKS = {"passes": "✓", "fails": "✗", "unsure": "?"}
ABOUT = (
    "mean over scenes with bootstrap intervals over scenes; data range 255; grey levels 0 to 255; each picture is a "
    "scene of its own, n counts those that the question was asked of; the text Infinity: equal pictures; null: there "
    "is none; the truth's own metrics stand in the group of all scenes only"
)


def answers(pipeline, scenes: Scenes, style: Scenes, guidance: dict, seed: int) -> dict[str, np.ndarray]:
    """Every method's pictures of the scenes, uint8 (N, 96, 96). `style`: the pairs that phase 3 saw."""
    return {
        TRANSLATION: translate(pipeline, scenes, guidance, seed),
        "inverted grey": inverted_grey(scenes.visible),
        "grey": grey(scenes.visible),
        "mean training image": mean_training_image(style.infrared, len(scenes)),
        "nearest training pair": nearest_pair(scenes.visible, style.visible, style.infrared),
        CEILING: autoencoded(pipeline, scenes.infrared),
        TRUTH: scenes.infrared,
    }


def masks(scenes: Scenes) -> np.ndarray:
    """Class numbers at the translation's size, the nearest pixel's: uint8 (N, 96, 96)."""
    side = (scenes.size, scenes.size)
    return np.stack(
        [np.array(Image.fromarray(np.asarray(m)).resize(side, Image.Resampling.NEAREST)) for m in scenes.pack.classes]
    )


def report_of(
    pictures: dict[str, np.ndarray],
    truth: np.ndarray,
    luma: np.ndarray,
    classes: np.ndarray,
    times: Sequence[str],
    groups: dict[str, np.ndarray],
    seed: int,
) -> dict:
    """Groups of scenes → methods → metrics; differences, translation minus each other method; checks; classes.

    Each picture is a scene of its own. Checks and classes are over all scenes. The truth's own metrics, which only
    prove that every check can be passed, are in the group of all scenes alone.
    """
    scores = {
        name: score(some, truth, luma, classes, times) for name, some in tqdm(pictures.items(), desc="scores", delay=2)
    }
    scenes = np.arange(len(truth))
    report: dict = {"groups": {}, "checks": {}, "classes": {}}
    for group, members in tqdm(groups.items(), desc="intervals", delay=2):
        chosen = {name: _only(found, members) for name, found in scores.items() if name != TRUTH or group == WHOLE}
        ours = chosen[TRANSLATION]
        report["groups"][group] = {
            "scenes": len(members),
            "metrics": {name: metrics_of(found, scenes[members], seed) for name, found in chosen.items()},
            "translation_minus": {
                name: differences_of(ours, found, scenes[members], seed)
                for name, found in chosen.items()
                if name not in (TRANSLATION, TRUTH)
            },
        }
    for name, found in scores.items():
        report["checks"][name] = checks_of(report["groups"][WHOLE]["metrics"][name])
        report["classes"][name] = classes_of(found, scenes, seed)
    return brief(report)


def brief(report: dict) -> dict:
    """Without what is the same in every entry: its level, and as many pictures as scenes."""
    same = ("level", "pictures") if "n" in report else ()
    return {key: brief(v) if isinstance(v, dict) else v for key, v in report.items() if key not in same}


def distribution(tower, pictures: dict[str, np.ndarray], truth: np.ndarray, real: np.ndarray, seed: int) -> dict:
    """FD-tiny (from 512 pictures on, else null) and KID-tiny of each method's pictures, and of other real scenes."""
    if len(truth) < KID_LEAST:
        return {}
    own, found = tiny_features(tower, truth), {}
    for name, some in (pictures | {"other real scenes": real[: len(truth)]}).items():
        features = tiny_features(tower, some)
        enough = min(len(own), len(features)) >= FD_LEAST
        found[name] = {
            "fd_tiny": round(feature_distance(features, own), 4) if enough else None,
            "kid_tiny": kernel_distance(features, own, seed).as_dict() if len(features) == len(own) else None,
        }
    return found


def run(models: Path, out: Path, seed: int, limit: int | None = None) -> dict:
    """Measure the shipped model on the held-out scenes and write the report. Translations come from the cache."""
    folder = models / "diffv2ir"
    encoders = Encoders(TINY, stand_ins(models), workers=torch.get_num_threads())
    packs = {"heldout": limit, "style": None, "pairs": limit or FD_LEAST}
    scenes, style, real = (Scenes(load_pack(name, limit=n), STYLE_CAMERA, encoders) for name, n in packs.items())
    pipeline = DiffV2IRPipeline.from_pretrained(folder)
    guidance = {name: pipeline.config[name] for name in (*NAMES, "steps")}
    pictures = answers(pipeline, scenes, style, guidance, seed)
    times = [spec["attributes"]["time"] for spec in scenes.pack.specs]
    luma = pictures["grey"]
    report = {
        "about": f"translations of held-out scenes into the camera {STYLE_CAMERA}, {TINY.image_size} px; {ABOUT}",
        "camera": STYLE_CAMERA,
        "scenes": len(scenes),
        "level": LEVEL,
        "guidance": guidance,
        "methods": list(pictures),
        "units": {name: asdict(metric) for name, metric in METRICS.items()},
        **report_of(pictures, scenes.infrared, luma, masks(scenes), times, scenes.groups(), seed),
        "distribution": distribution(tiny_tower(models / TOWER.name), pictures, scenes.infrared, real.infrared, seed),
        "provenance": provenance(seed) | {"weights_sha256": weight_hashes(folder)},
    }
    write_json(out, report)
    return report


def table(report: dict, metrics: Sequence[str] = tuple(METRICS)) -> list[str]:
    """Metric by method over all scenes, as lines; ✓ ✗ ? say that a check passes, fails, or is not decided."""
    found, methods = report["groups"][WHOLE]["metrics"], report["methods"]
    heads = [name.partition(" (")[0].replace("training ", "") for name in methods]
    text = [f"{'':22s}" + "".join(f"{head:>14s}" for head in heads) + f"{'scenes':>7s}"]
    for metric in (name for name in metrics if name in found[TRANSLATION]):
        cells = ""
        for name in methods:
            mean, verdict = found[name][metric]["mean"], (report["checks"][name].get(metric) or {}).get("verdict")
            value = "∞" if isinstance(mean, str) else "–" if mean is None else f"{mean:.2f}"
            cells += f"{value:>12s} {MARKS.get(verdict, ' ')}"
        text.append(f"{metric:22s}{cells}{found[TRANSLATION][metric]['n']:7d}")
    return text


def lines(report: dict) -> list[str]:
    """The report in brief: every metric of every method over all scenes, then the distances of the sets."""
    text = table(report)
    for name, one in report["distribution"].items():
        text.append(f"{name:24s} FD-tiny {one['fd_tiny']}, KID-tiny {one['kid_tiny'] and one['kid_tiny']['value']}")
    return text


def _only(scores: Scores, members: np.ndarray) -> Scores:
    return {name: values[members] for name, values in scores.items()}


def main(
    models: Path = typer.Option(repo_root() / "models" / "tiny", help="Folder of the stand-ins and of diffv2ir/."),
    out: Path = typer.Option(repo_root() / "results" / "measuring.json", help="File to write."),
    seed: int = typer.Option(0, help="Seed of the sampling noise and of the intervals."),
    limit: int = typer.Option(None, min=2, help="The first so many held-out scenes; all 512 if not given."),
) -> None:
    """Score the shipped model and the baselines by every measure; writes results/measuring.json.

    Example: python -m v2ir_lib.evaluation.measuring
    """
    try:
        report = run(models, out, seed, limit)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print("\n".join([*lines(report), f"wrote {out}"]))


if __name__ == "__main__":
    typer.run(main)
