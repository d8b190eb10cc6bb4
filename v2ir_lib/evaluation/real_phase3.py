"""`python -m v2ir_lib.evaluation.real_phase3`: do phases learned on simulated scenes help on real ones?

Phase 3 is trained on real pairs from four starts: a random UNet, the base that knows visible pictures and words, the
same after phase 1 (infrared pictures), and after phase 2 (pairs). All else is equal: pairs, steps, noise, batch order.
Each start gets the learning rates and the guidance that suit it best on validation pairs, so that none loses for want
of a setting: after phase 2 alone the first convolution has learned to see its pictures. What a run gave is kept in the
cache; a second call trains nothing. The pictures stay where they are.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import typer
from tqdm.auto import tqdm

from v2ir_lib.diffusion.images import resize
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.ablations.report import difference, summary
from v2ir_lib.evaluation.baselines import grey, mean_training_image, nearest_pair
from v2ir_lib.evaluation.photographs import METRICS
from v2ir_lib.evaluation.pictures import save_sheet
from v2ir_lib.evaluation.provenance import provenance, weight_hashes
from v2ir_lib.evaluation.scenes import Scenes, translate
from v2ir_lib.files import cache_dir, repo_root, write_json
from v2ir_lib.metrics.intervals import mean_per_group
from v2ir_lib.plm.cache import fingerprint
from v2ir_lib.plm.prepare import Encoders, stand_ins
from v2ir_lib.plm.run import Options, train_phase
from v2ir_lib.plm.sources import ManifestScenes, manifest_scenes
from v2ir_lib.plm.start import RANDOM
from v2ir_lib.profiles import TINY
from v2ir_lib.weights import folder_hash

STARTS = {"random": RANDOM, "base": "base_unet", "after phase 1": "phase1_lora", "after phase 2": "phase2_unet"}
RATES = ((2e-4, 1.0), (1e-3, 1.0), (1e-3, 10.0))  # phase 3's own … phase 2's, first convolution ten times as fast
SCALES = (1.0, 1.5)  # all three guidance scales; at 1 the network is asked once
SEEDS, STEPS = (0, 1, 2), 400
SPLITS = ("train", "val", "test")
SHOWN = 6  # pictures of the sheet, which is looked at and not committed


@dataclass(frozen=True)
class Study:
    """What all runs share."""

    manifest: Path
    dataset: str
    steps: int
    models: Path = (repo_root() / TINY.sources.pipeline).parent

    @property
    def weights(self) -> dict[str, str]:
        """Hashes of all that a run may start from."""
        starts = [self.models / name for name in STARTS.values() if name != RANDOM]
        return weight_hashes(self.models / "diffv2ir") | {folder.name: folder_hash(folder) for folder in starts}

    def scenes(self, split: str) -> ManifestScenes:
        return manifest_scenes(self.manifest, split, dataset=self.dataset)

    def check_splits(self) -> None:
        """`UserError` where a split is empty, or two share a scene: a row without a split belongs to all of them."""
        seen: dict[str, str] = {}
        for split in SPLITS:
            for record in self.scenes(split).records:
                if seen.setdefault(record.group, split) != split:
                    raise UserError(
                        f"{self.manifest}: scene {record.group!r} is in both {seen[record.group]} and {split}: give "
                        "every row a split, no scene two (v2ir data split)"
                    )

    def run(self, start: str, rates: tuple[float, float], seed: int) -> tuple[DiffV2IRPipeline, dict]:
        """Phase 3 from a start: the model and what was written of its training. Out of the cache where it is there."""
        rate, first = rates
        made_from = fingerprint(self.scenes("train").fingerprint(), self.steps, sorted(self.weights.items()))
        name = f"{start.replace(' ', '-')}-{rate:g}-{seed}-{made_from[:12]}" + (
            f"-first{first:g}" if first != 1 else ""
        )
        out = cache_dir() / "evaluation" / "real_phase3" / name
        options = Options(
            out,
            model=RANDOM if start == "random" else str(self.models / STARTS[start]),
            manifest=self.manifest,
            dataset=self.dataset,
            steps=self.steps,
            learning_rate=rate,
            first_rate=first,
            seed=seed,
        )
        record = train_phase("phase3", options)
        return DiffV2IRPipeline.from_pretrained(out), record

    def answers(self, pipeline: DiffV2IRPipeline, split: str, scale: float, seed: int) -> list[np.ndarray]:
        """Translations of a split, uint8 (H, W) at each picture's own size; translated square, as phase 3 saw it."""
        encoders = Encoders(TINY, stand_ins(self.models), workers=torch.get_num_threads())
        source = self.scenes(split)
        names = ("s_text", "s_visible", "s_segments")
        guidance = dict.fromkeys(names, scale) | {"steps": TINY.guidance.steps}
        found = translate(pipeline, Scenes(source, "", encoders), guidance, seed)
        return [resize(one, *source.infrared(i).shape) for i, one in enumerate(found)]


def choose(study: Study, start: str) -> dict:
    """The learning rates and scale of the highest mean PSNR per scene on the validation pairs, with the first seed."""
    tried = []
    source = study.scenes("val")
    for rates in RATES:
        pipeline, _ = study.run(start, rates, SEEDS[0])
        for scale in SCALES:
            scores = per_scene(study.answers(pipeline, "val", scale, SEEDS[0]), source)["psnr"]
            mean = round(float(scores.mean()), 4)
            tried.append({"learning_rate": rates[0], "first_rate": rates[1], "scale": scale, "psnr": mean})
    best = max(tried, key=lambda one: one["psnr"])
    return {key: best[key] for key in ("learning_rate", "first_rate", "scale")} | {"tried": tried}


def per_scene(answers: list[np.ndarray], source: ManifestScenes) -> dict[str, np.ndarray]:
    """Each metric of `photographs.METRICS` at the pictures' own sizes, the mean of each scene, (scenes,)."""
    truth = [source.infrared(i) for i in range(len(source))]
    groups = [record.group for record in source.records]
    return {
        metric: mean_per_group([float(of(a[None], t[None])[0]) for a, t in zip(answers, truth, strict=True)], groups)
        for metric, of in METRICS.items()
    }


def baselines(study: Study) -> dict[str, list[np.ndarray]]:
    """What costs nothing, uint8 (H, W) at each test picture's own size; pair and mean are of the training pairs."""
    test, train = study.scenes("test"), study.scenes("train")
    side = (TINY.image_size, TINY.image_size)
    known = np.stack([resize(train.infrared(i), *side) for i in range(len(train))])
    light = [grey([picture])[0] for picture in test.visible]
    square = {
        "mean training image": mean_training_image(known, len(test)),
        "nearest training pair": nearest_pair(test.visible, train.visible, known),
    }
    sizes = [picture.shape for picture in light]
    return {"grey": light, "inverted grey": [255 - picture for picture in light]} | {
        name: [resize(one, *size) for one, size in zip(found, sizes, strict=True)] for name, found in square.items()
    }


def measure(study: Study, seeds: tuple[int, ...] = SEEDS, starts: tuple[str, ...] = tuple(STARTS)) -> dict:
    """The report of `real_phase3.json`. `UserError` for a manifest that cannot be read or whose splits overlap."""
    study.check_splits()
    test = study.scenes("test")
    trivial = baselines(study)
    scores = {name: _over_seeds([per_scene(answers, test)] * len(seeds)) for name, answers in trivial.items()}
    pictures = {"inverted grey": trivial["inverted grey"]}
    chosen, runs = {}, {}
    for start in tqdm(starts, desc="starts", unit="start"):
        chosen[start] = choose(study, start)
        rates = chosen[start]["learning_rate"], chosen[start]["first_rate"]
        by_seed, runs[start] = [], []
        for seed in seeds:
            pipeline, record = study.run(start, rates, seed)
            answers = study.answers(pipeline, "test", chosen[start]["scale"], seed)
            by_seed.append(per_scene(answers, test))
            pictures.setdefault(start, answers)
            runs[start].append({"seed": seed, "loss": record["loss"]})
        scores[start] = _over_seeds(by_seed)
    draw(repo_root() / "out" / "real_phase3.png", test, pictures)
    groups = {record.group for record in test.records}
    return {
        "about": f"phase 3 on real pairs of {study.dataset}, from four starts; test: mean per scene of {len(groups)} "
        "scenes, at each picture's own size; low, high: 95% bootstrap over scenes; over_seeds: Student's 95% interval "
        "over seeds; aligned: after the gain and offset that suit each picture best",
        "rule": "learning rates and scale of each start: highest mean PSNR per scene on the validation pairs, seed 0",
        "provenance": provenance(seeds[0]) | {"weights_sha256": study.weights},
        "pairs": {split: len(study.scenes(split)) for split in SPLITS},
        "steps": study.steps,
        "seeds": list(seeds),
        "chosen": chosen,
        "runs": runs,
        "metrics": report_of(scores, starts[-1]),
    }


def _over_seeds(found: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Scores of each metric, (seeds, scenes); what needs no training is the same for every seed."""
    return {metric: np.stack([one[metric] for one in found]) for metric in METRICS}


def report_of(scores: dict[str, dict[str, np.ndarray]], last: str) -> dict:
    """For each metric: every method's mean and intervals, and what the last start gains over each other method."""
    report = {}
    for metric in METRICS:
        of = {name: by[metric] for name, by in scores.items()}
        report[metric] = {
            "mean": {name: summary(values) for name, values in of.items()},
            f"{last} minus": {name: difference(of[last], values) for name, values in of.items() if name != last},
        }
    return report


def draw(path: Path, test: ManifestScenes, pictures: dict[str, list[np.ndarray]]) -> None:
    """A sheet for the eye, outside of the repository's tracked files: these pictures are other people's."""
    chosen = range(0, len(test), max(1, len(test) // SHOWN))[:SHOWN]
    columns = {"visible": [test.visible[i] for i in chosen], "truth": [test.infrared(i) for i in chosen]}
    columns |= {name: [answers[i] for i in chosen] for name, answers in pictures.items()}
    save_sheet(
        path,
        {name: [resize(np.ascontiguousarray(one), 160, 240) for one in row] for name, row in columns.items()},
        caption="Real test pictures, spread over the split; phase 3 from each start, seed 0.",
        cell=1.6,
    )


def main(
    manifest: Path = typer.Option(..., help="CSV or Parquet with visible, infrared, group, split."),
    dataset: str = typer.Option("roadscene", help="Rows of this dataset."),
    out: Path = typer.Option(repo_root() / "results" / "real_phase3.json", help="The file to write."),
    steps: int = typer.Option(STEPS, min=1, help="Training steps of each run."),
    seeds: int = typer.Option(len(SEEDS), min=1, help="Seeds 0, 1, … of noise, batches and random start."),
    only: str = typer.Option(None, help="Train and judge this start only, for another process to find in the cache."),
) -> None:
    """Train phase 3 on real pairs from four starts and write results/real_phase3.json.

    Example: python -m v2ir_lib.evaluation.real_phase3 --manifest ../shared/real_pairs/manifest.csv
    """
    try:
        if only is not None and only not in STARTS:
            raise UserError(f"no start {only!r}: choose one of {', '.join(STARTS)}")
        study = Study(manifest, dataset, steps)
        report = measure(study, tuple(range(seeds)), (only,) if only else tuple(STARTS))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    if only is None:
        write_json(out, report)
        print(f"wrote {out}")
    for name, one in report["metrics"]["psnr"]["mean"].items():
        print(f"{name:24s} {one['mean']:6.2f} dB  [{one['low']:.2f}, {one['high']:.2f}]")


if __name__ == "__main__":
    typer.run(main)
