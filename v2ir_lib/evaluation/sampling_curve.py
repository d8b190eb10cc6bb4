"""`python -m v2ir_lib.evaluation.sampling_curve`: the fewest evaluations of the UNet for the paper's quality.

The recipe is 100 steps of Euler ancestral, four branches each: 400 evaluations. Samplers, numbers of steps and where
guidance is on are compared with it on the same held-out scenes from the same first noise. Of thirty rows the best are
also the luckiest: those that are equal by `RULE` are tried again on scenes that had no part in the choice, the one of
the fewest evaluations first, until one is equal there, too.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import typer
from tqdm.auto import tqdm

from v2ir_lib.diffusion.guidance import guided
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.diffusion.sampling import evaluations, scheduler_like
from v2ir_lib.diffusion.settings import Sampling
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.provenance import provenance, weight_hashes
from v2ir_lib.evaluation.scenes import Scenes, translate
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.metrics.distribution import KID_LEAST, kernel_distance
from v2ir_lib.metrics.features import tiny_features, tiny_tower
from v2ir_lib.metrics.intervals import bootstrap_interval, paired_interval
from v2ir_lib.metrics.pixel import psnr, ssim
from v2ir_lib.plm.prepare import Encoders, stand_ins
from v2ir_lib.profiles import TINY
from v2ir_lib.world.cameras import STYLE_CAMERA
from v2ir_lib.world.packs import load_pack

SCENES, CONFIRMING = 128, 384  # held-out scenes: for the comparison, and the next ones, which confirm it
PAPER = 400  # evaluations: 100 steps, all four branches
MARGINS = {"psnr": 0.1, "ssim": 0.005}  # dB, and of 1: less is no loss that anybody would see
HALVES = 50  # random halves of the scenes that give KID's interval
SKIP_SCENES, SKIP_SCALES = 4, (7.5, 1.5, 1.5)  # the paper's best setting: three branches of four have a weight
RULE = (
    "equal: the 95% interval of the paired difference from the recipe reaches 0 or better, in PSNR, SSIM and KID-tiny, "
    f"and the mean difference is no worse than −{MARGINS['psnr']} dB and −{MARGINS['ssim']} SSIM"
)
INTERVAL = {"guidance_from": 5.42, "guidance_to": 0.28}  # Kynkäänniemi et al. 2024, for Stable Diffusion XL


@dataclass(frozen=True)
class Row:
    """One way to sample. guided: always, in an interval of noise levels, or never (all scales 1)."""

    sampler: str
    steps: int
    guided: str = "always"
    seed: int = 0  # added to the run's: other noise

    def settings(self, pipeline: DiffV2IRPipeline) -> dict:
        """What the pipeline is told; the scales are the model's own."""
        names = ("s_text", "s_visible", "s_segments")
        scales = {name: 1.0 if self.guided == "never" else pipeline.config[name] for name in names}
        how = Sampling(sampler=self.sampler, **(INTERVAL if self.guided == "interval" else {}))
        return scales | {"steps": self.steps, "how": how}


RECIPE = Row("euler-ancestral", 100)
AGAIN = Row("euler-ancestral", 100, seed=1_000_003)  # what other noise alone changes
ALWAYS = {
    "euler-ancestral": (5, 10, 20),
    "ddim": (5, 10, 20),
    "dpm++2m": (5, 10, 20),
    "dpm++2m-sde": (5, 10, 20),
    "unipc": (5, 10, 20),
    "heun": (3, 5, 10),
}
SOMETIMES = {"euler-ancestral": (10, 20), "dpm++2m": (5, 10, 20), "dpm++2m-sde": (10, 20), "unipc": (10,)}
NEVER = {"euler-ancestral": (10,), "dpm++2m": (10, 20), "dpm++2m-sde": (10,)}
ROWS = tuple(
    Row(sampler, steps, where)
    for where, table in (("always", ALWAYS), ("interval", SOMETIMES), ("never", NEVER))
    for sampler, many in table.items()
    for steps in many
)


def needed(pipeline: DiffV2IRPipeline, settings: dict) -> int:
    """Evaluations of the UNet for one picture."""
    how = settings["how"]
    rule = guided(settings["s_text"], settings["s_visible"], settings["s_segments"], how)
    return evaluations(scheduler_like(pipeline.scheduler, how.sampler), rule, settings["steps"])


@dataclass(frozen=True)
class Judged:
    """Scores of one row's pictures: one value a scene, and for KID one of each random half of the scenes."""

    psnr: np.ndarray
    ssim: np.ndarray
    kid: np.ndarray | None  # None where there are too few scenes
    kid_value: float | None

    def report(self, seed: int) -> dict:
        """Means with 95% intervals; KID-tiny with the standard deviation over halves, which is that of the whole."""
        found = {name: bootstrap_interval(getattr(self, name), seed).as_dict() for name in ("psnr", "ssim")}
        if self.kid is not None:
            found["kid_tiny"] = {"mean": round(self.kid_value, 4), "spread": round(float(self.kid.std(ddof=1)), 4)}
        return found

    def minus(self, other: "Judged", seed: int) -> dict:
        """Paired differences, ours less the other's, with 95% intervals; whether they pass `RULE`."""
        found = {}
        for name in ("psnr", "ssim"):
            found[name] = paired_interval(getattr(self, name), getattr(other, name), seed).as_dict()
        equal = all(found[name]["high"] >= 0 and found[name]["mean"] >= -MARGINS[name] for name in MARGINS)
        if self.kid is not None:
            mean, half = self.kid_value - other.kid_value, 1.96 * float((self.kid - other.kid).std(ddof=1))
            bounds = {"mean": mean, "low": mean - half, "high": mean + half}
            found["kid_tiny"] = {name: round(value, 4) for name, value in bounds.items()}
            equal = equal and bounds["low"] <= 0
        return found | {"equal": equal}


class Judge:
    """Scores pictures of the same scenes, always in the same way: the same halves for every row."""

    def __init__(self, truth: np.ndarray, seed: int):
        self.truth, self.features = truth, None
        if len(truth) // 2 >= KID_LEAST:
            rng = np.random.default_rng(seed)
            self.halves = [rng.permutation(len(truth))[: len(truth) // 2] for _ in range(HALVES)]
            self.tower = tiny_tower()
            self.features = tiny_features(self.tower, truth)

    def __call__(self, pictures: np.ndarray) -> Judged:
        pixels = psnr(pictures, self.truth), ssim(pictures, self.truth)
        if self.features is None:
            return Judged(*pixels, None, None)
        ours = tiny_features(self.tower, pictures)
        halves = np.array([kernel_distance(ours[half], self.features[half]).value for half in self.halves])
        return Judged(*pixels, halves, kernel_distance(ours, self.features).value)


def compare(pipeline: DiffV2IRPipeline, scenes: Scenes, count: int, confirming: int, seed: int, rows=ROWS) -> dict:
    """All rows against the recipe on the first `count` scenes; the equal ones in turn on the `confirming` next ones."""

    def made(row: Row, number: int) -> np.ndarray:
        return translate(pipeline, scenes, row.settings(pipeline), seed + row.seed, number)

    judge, table = Judge(scenes.infrared[:count], seed), []
    recipe = judge(made(RECIPE, count))
    for row in tqdm((AGAIN, *rows), desc="rows", unit="row"):
        judged = judge(made(row, count))
        entry = {"sampler": row.sampler, "steps": row.steps, "guided": row.guided}
        entry |= {"evaluations": needed(pipeline, row.settings(pipeline))} | judged.report(seed)
        table.append(entry | {"minus_recipe": judged.minus(recipe, seed)})
    again, *table = table
    reference = needed(pipeline, RECIPE.settings(pipeline))
    report = {
        "recipe": {
            "sampler": RECIPE.sampler,
            "steps": RECIPE.steps,
            "evaluations": PAPER,
            "with_branch_skip": reference,
        }
        | recipe.report(seed),
        "recipe_with_other_noise": again,
        "rows": table,
    }
    candidates = equal(table)
    if not confirming or not candidates:
        return report | {"fewest": _said(candidates[0]) if candidates else None}
    judge, tried = Judge(scenes.infrared[count : count + confirming], seed), []
    recipe = judge(made(RECIPE, count + confirming)[count:])
    for row in tqdm(candidates, desc="confirming", unit="row"):
        judged = judge(made(rows[table.index(row)], count + confirming)[count:])
        tried.append(_said(row) | judged.report(seed) | {"minus_recipe": judged.minus(recipe, seed)})
        if tried[-1]["minus_recipe"]["equal"]:
            break
    held = [_said(row) for row in tried if row["minus_recipe"]["equal"]]
    report["confirmed"] = {"scenes": confirming, "recipe": recipe.report(seed), "tried": tried}
    return report | {"fewest": held[0] if held else None}


def equal(table: list[dict]) -> list[dict]:
    """The rows that are equal to the recipe: fewest evaluations first, of two that need as many the higher PSNR."""
    found = [row for row in table if row["minus_recipe"]["equal"]]
    return sorted(found, key=lambda row: (row["evaluations"], -row["psnr"]["mean"]))


def _said(row: dict) -> dict:
    return {name: row[name] for name in ("sampler", "steps", "guided", "evaluations")}


def branch_skip(pipeline: DiffV2IRPipeline, scenes: Scenes, seed: int, steps: int = RECIPE.steps) -> dict:
    """Three branches against four at the paper's scales: how far apart the pictures are, in grey levels."""
    scales = dict(zip(("s_text", "s_visible", "s_segments"), SKIP_SCALES, strict=True))
    made, counts = [], []
    for skip in (True, False):
        settings = scales | {"steps": steps, "how": Sampling(skip=skip)}
        made.append(translate(pipeline, scenes, settings, seed, SKIP_SCENES).astype(int))
        counts.append(needed(pipeline, settings))
    gap = np.abs(made[0] - made[1])
    largest, mean = int(gap.max()), round(float(gap.mean()), 5)
    return scales | {"evaluations": counts, "scenes": len(gap), "largest_difference": largest, "mean_difference": mean}


def measure(models: Path, out: Path, *, scenes: int, confirming: int, seed: int = 0, rows=ROWS) -> dict:
    """All of `sampling.json`, written to `out`. What was computed before is in the cache: stop it at will."""
    encoders = Encoders(TINY, stand_ins(models), workers=torch.get_num_threads())
    heldout = Scenes(load_pack("heldout", limit=scenes + confirming), STYLE_CAMERA, encoders)
    folder = models / "diffv2ir"
    pipeline = DiffV2IRPipeline.from_pretrained(folder)
    report = {
        "about": f"translations of held-out scenes into the camera {STYLE_CAMERA}, {TINY.image_size} px, with the "
        "model's own scales; evaluations of the UNet for one picture, branches counted, branches of weight 0 left out; "
        "PSNR in dB, data range 255; KID-tiny as in metrics.distribution, its spread over random halves of the scenes",
        "provenance": provenance(seed) | {"weights_sha256": weight_hashes(folder)},
        "rule": RULE,
        "scenes": scenes,
        "scales": {name: pipeline.config[name] for name in ("s_text", "s_visible", "s_segments")},
        "interval": INTERVAL,
        "branch_skip": branch_skip(pipeline, heldout, seed),
        **compare(pipeline, heldout, scenes, confirming, seed, rows),
    }
    write_json(out / "sampling.json", report)
    return report


def lines(report: dict) -> list[str]:
    """The table for a person, fewest evaluations first."""
    recipe = report["recipe"]
    said = [
        f"recipe: {recipe['evaluations']} evaluations, {recipe['psnr']['mean']:.2f} dB, "
        f"SSIM {recipe['ssim']['mean']:.3f}"
    ]
    for row in sorted(report["rows"], key=lambda row: row["evaluations"]):
        gap = row["minus_recipe"]
        said.append(
            f"{row['evaluations']:4d}  {row['sampler']:15s} {row['steps']:3d} steps, guided {row['guided']:8s} "
            f"{gap['psnr']['mean']:+6.2f} dB [{gap['psnr']['low']:+.2f}, {gap['psnr']['high']:+.2f}]  "
            f"SSIM {gap['ssim']['mean']:+.4f}  {'equal' if gap['equal'] else ''}"
        )
    return said


def main(
    models: Path = typer.Option(repo_root() / "models" / "tiny", help="Folder of the stand-ins and of diffv2ir/."),
    out: Path = typer.Option(repo_root() / "results", help="Folder for sampling.json."),
    scenes: int = typer.Option(SCENES, min=2, help="Held-out scenes that rows are compared on."),
    confirming: int = typer.Option(CONFIRMING, min=0, help="Further ones, on which equal rows are tried again."),
    seed: int = typer.Option(0, help="Seed of the noise and of the intervals."),
    threads: int = typer.Option(1, min=1, help="CPU threads."),
) -> None:
    """Compare samplers by evaluations and quality, and write results/sampling.json. Stop it at will: it continues.

    Example: python -m v2ir_lib.evaluation.sampling_curve --scenes 128
    """
    torch.set_num_threads(threads)
    try:
        report = measure(models, out, scenes=scenes, confirming=confirming, seed=seed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print("\n".join(lines(report)))
    print(f"fewest: {report['fewest']}\nwrote {out / 'sampling.json'}")


if __name__ == "__main__":
    typer.run(main)
