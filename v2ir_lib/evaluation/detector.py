"""`python -m v2ir_lib.evaluation.detector`: is a translation of use? A detector that learns from it says so.

Given labelled visible pictures, persons and cars are to be found with an infrared camera. Four small detectors are
alike in everything but the pictures that they train on: true infrared (which nobody has yet), translations, grey,
inverted grey. All are tested on true infrared of scenes that neither they nor the translator trained on.
What was trained is in the cache: stop it at will, it continues.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import typer

from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.ablations.report import student_interval, verdict
from v2ir_lib.evaluation.detector_boxes import KINDS, RULE, boxes_of_pack
from v2ir_lib.evaluation.detector_scores import LEAST_IOU, Judged, drawn, judge_all
from v2ir_lib.evaluation.detector_show import examples, save_examples
from v2ir_lib.evaluation.detector_study import ARMS, TRANSLATED, Found, Study, pictures_of, run_all
from v2ir_lib.evaluation.detector_training import SETTINGS
from v2ir_lib.evaluation.provenance import provenance, weight_hashes
from v2ir_lib.evaluation.quickstart import NAMES
from v2ir_lib.evaluation.scenes import Scenes
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.plm.prepare import Encoders, stand_ins
from v2ir_lib.profiles import TINY
from v2ir_lib.world.cameras import STYLE_CAMERA
from v2ir_lib.world.packs import load_pack

FOLDS, SEEDS, STEPS = 2, 3, 400
DRAWS, LEVEL = 500, 0.95
GROUPS = ("all", "day", "dusk", "night")
ABOUT = (
    f"a small FCOS detector trained on four kinds of pictures of the same scenes and tested on true infrared of the "
    f"camera {STYLE_CAMERA}, {TINY.image_size} px: average precision at IoU {LEAST_IOU}, and the mean over kinds; mean "
    "over seeds; low, high: 95% bootstrap over scenes; over_seeds: Student's 95% interval over seeds; recall: of all "
    "detections, whatever their score; own_pictures: average precision on test pictures of the training's kind; blind: "
    "boxes of other scenes. No detector is tested on a scene that it or the translator trained on"
)


@dataclass(frozen=True)
class Precision:
    """Average precision of one method in one group of scenes: (S seeds, kinds + their mean, 1 + draws)."""

    values: np.ndarray
    recall: np.ndarray  # (kinds + their mean,), mean over seeds

    def entry(self, kind: int) -> dict:
        """The first draw is the scenes themselves; the others give the interval."""
        by_seed = self.values[:, kind, 0]
        return _interval(self.values[:, kind].mean(axis=0)) | {
            "by_seed": _rounded(by_seed),
            "recall": _rounded(self.recall[kind]),
        }

    def minus(self, other: "Precision", kind: int) -> dict:
        """Paired: the same draws for both. The verdict is the ablations'; none where there is nothing to find."""
        gap = self.values[:, kind] - other.values[:, kind]
        found, over = _interval(gap.mean(axis=0)), student_interval(gap[:, 0])
        told = "not told apart" if found["low"] is None else verdict(found["mean"], found["low"], found["high"], over)
        return found | {"by_seed": _rounded(gap[:, 0]), "over_seeds": _rounded(over), "verdict": told}


def precision_of(judged: list[dict[str, Judged]], members: np.ndarray, draws: int, seed: int) -> Precision:
    """`judged` has one entry a seed; `members` are the numbers of the scenes that count."""
    weights = drawn(len(judged[0][KINDS[0]].asked), members, draws, seed)
    values = np.stack([[one[kind].precision(weights) for kind in KINDS] for one in judged])
    recall = np.array([[one[kind].recall(members) for kind in KINDS] for one in judged]).mean(axis=0)
    mean = values.mean(axis=1, keepdims=True)
    return Precision(np.concatenate([values, mean], axis=1), np.append(recall, recall.mean()))


def report_of(found: Found, boxes: list, groups: dict[str, np.ndarray], seed: int, draws: int = DRAWS) -> dict:
    """Groups of scenes → kinds of object → each method's average precision, and what translations gain over each."""
    methods = {name: [judge_all(one, boxes) for one in some] for name, some in found.infrared.items()}
    own = {name: [judge_all(one, boxes) for one in some] for name, some in found.own.items()}
    report = {}
    for group, members in groups.items():
        scored = {name: precision_of(judged, members, draws, seed) for name, judged in methods.items()}
        at_home = {name: precision_of(judged, members, 0, seed) for name, judged in own.items()}
        entry = report[group] = {"scenes": len(members)}
        ours, asked = scored[TRANSLATED], [int(methods[TRANSLATED][0][kind].asked[members].sum()) for kind in KINDS]
        for number, kind in enumerate((*KINDS, "mean")):
            entry[kind] = {
                "boxes": sum(asked) if kind == "mean" else asked[number],
                "average_precision": {name: one.entry(number) for name, one in scored.items()},
                f"{TRANSLATED} minus": {
                    name: ours.minus(one, number) for name, one in scored.items() if name != TRANSLATED
                },
                "own_pictures": {name: _rounded(one.values[:, number, 0].mean()) for name, one in at_home.items()},
            }
    return report


def measure(
    models: Path, out: Path, *, scenes: int | None, folds: int, seeds: int, steps: int, draws: int = DRAWS
) -> dict:
    """All of `detector.json`, written to `out`, with a sheet of examples in `out/figures`.

    `scenes`: of each pack, all by default. `UserError` for folds without scenes, or where models are missing.
    """
    folder = models / "diffv2ir"
    encoders = Encoders(TINY, stand_ins(models), workers=torch.get_num_threads())
    heldout, more = (
        Scenes(load_pack(name, limit=scenes), STYLE_CAMERA, encoders) for name in ("heldout", "validation")
    )
    pipeline = DiffV2IRPipeline.from_pretrained(folder)
    guidance = {name: pipeline.config[name] for name in (*NAMES, "steps")}
    parts = [pictures_of(pipeline, some, guidance, 0) for some in (heldout, more)]
    boxes = [one for some in (heldout, more) for one in boxes_of_pack(some.pack, TINY.image_size)]
    pictures = {arm: np.concatenate([part[arm] for part in parts]) for arm in ARMS}
    study = Study(pictures, boxes, len(heldout), folds, steps)
    found = run_all(study, range(seeds))
    tested = boxes[: len(heldout)]
    groups = {name: members for name, members in heldout.groups().items() if name in GROUPS}
    shown = examples(found, tested, groups)
    save_examples(out / "figures" / "detector.jpg", shown, heldout.visible, pictures)
    report = {
        "about": ABOUT,
        "boxes": RULE,
        "provenance": provenance(0) | {"weights_sha256": weight_hashes(folder)},
        "training": SETTINGS | {"steps": steps, "seeds": seeds, "folds": folds, "scenes": len(study.fold(0)[0])},
        "guidance": guidance,
        "losses": found.losses,
        "groups": report_of(found, tested, groups, 0, draws),
        "examples": shown,
    }
    write_json(out / "detector.json", report)
    return report


def lines(report: dict) -> list[str]:
    """The tables for a person: the mean over kinds in each group of scenes, then each kind over all."""
    said = []
    for group, kind in [(group, "mean") for group in report["groups"]] + [("all", kind) for kind in KINDS]:
        entry = report["groups"][group][kind]
        said.append(f"{group}, {kind}: {report['groups'][group]['scenes']} scenes, {entry['boxes']} boxes")
        for name, one in entry["average_precision"].items():
            gap, home = entry[f"{TRANSLATED} minus"].get(name), entry["own_pictures"].get(name)
            told = (
                f"translated {gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}] {gap['verdict']}" if gap else ""
            )
            said.append(
                f"  {name:15s} AP {one['mean']:.3f} [{one['low']:.3f}, {one['high']:.3f}]  recall {one['recall']:.2f}  "
                f"{f'on its own pictures {home:.3f}' if home is not None else '':25s}  {told}".rstrip()
            )
    return said


def _interval(values: np.ndarray) -> dict:
    """mean, low, high of (1 + draws,); null where nothing was asked for, or nothing drawn."""
    again = values[1:][np.isfinite(values[1:])]
    tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    low, high = np.quantile(again, tails) if len(again) else (np.nan, np.nan)
    return {"mean": _rounded(values[0]), "low": _rounded(low), "high": _rounded(high)}


def _rounded(value):
    """Four digits, NaN as null."""
    if value is None:
        return None
    if np.ndim(value):
        return [_rounded(one) for one in value]
    return round(float(value), 4) if np.isfinite(value) else None


def main(
    models: Path = typer.Option(repo_root() / "models" / "tiny", help="Folder of the stand-ins and of diffv2ir/."),
    out: Path = typer.Option(repo_root() / "results", help="Folder for detector.json and figures/detector.jpg."),
    scenes: int = typer.Option(None, min=2, help="Scenes of each pack (all)."),
    folds: int = typer.Option(FOLDS, min=2, help="Parts that the held-out scenes are tested in."),
    seeds: int = typer.Option(SEEDS, min=1, help="Seeds 0, 1, … of weights, order and augmentation."),
    steps: int = typer.Option(STEPS, min=1, help="Training steps of each detector."),
    threads: int = typer.Option(1, min=1, help="CPU threads."),
) -> None:
    """Train detectors on translations and on what they compete with, and write results/detector.json.

    Example: python -m v2ir_lib.evaluation.detector --seeds 3
    """
    torch.set_num_threads(threads)
    try:
        report = measure(models, out, scenes=scenes, folds=folds, seeds=seeds, steps=steps)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print("\n".join(lines(report)))
    print(f"wrote {out / 'detector.json'}")


if __name__ == "__main__":
    typer.run(main)
