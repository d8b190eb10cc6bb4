"""`python -m v2ir_lib.evaluation.real_phase3`: do phases learned on simulated scenes help on real ones?

Phase 3 is trained on real pairs from four starts: a random UNet, the base that knows visible pictures and words, the
same after phase 1 (infrared pictures), and after phase 2 (pairs). All else is equal: pairs, steps, noise, batch order.
Each start gets the learning rate and the guidance that suit it best on validation pairs, so that none loses for want
of a setting. What a run gave is kept in the cache; a second call trains nothing. The pictures stay where they are.
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
from v2ir_lib.evaluation.baselines import grey, mean_training_image, nearest_pair
from v2ir_lib.evaluation.photographs import METRICS
from v2ir_lib.evaluation.pictures import save_sheet
from v2ir_lib.evaluation.provenance import provenance, weight_hashes
from v2ir_lib.evaluation.scenes import Scenes, translate
from v2ir_lib.files import cache_dir, repo_root, write_json
from v2ir_lib.metrics.intervals import bootstrap_interval, mean_per_group, paired_interval
from v2ir_lib.plm.cache import fingerprint
from v2ir_lib.plm.prepare import Encoders, stand_ins
from v2ir_lib.plm.run import Options, train_phase
from v2ir_lib.plm.sources import ManifestScenes, manifest_scenes
from v2ir_lib.plm.start import RANDOM
from v2ir_lib.profiles import TINY
from v2ir_lib.weights import folder_hash

STARTS = {"random": RANDOM, "base": "base_unet", "after phase 1": "phase1_lora", "after phase 2": "phase2_unet"}
RATES = (2e-4, 1e-3)  # phase 3's own, and phase 2's
SCALES = (1.0, 1.5)  # all three guidance scales; at 1 the network is asked once
SEEDS, STEPS = (0, 1, 2), 400
SHOWN = 6  # pictures of the sheet, which is looked at and not committed


@dataclass(frozen=True)
class Study:
    """What all runs share."""

    manifest: Path
    dataset: str
    models: Path
    steps: int

    @property
    def weights(self) -> dict[str, str]:
        """Hashes of all that a run may start from."""
        starts = [self.models / name for name in STARTS.values() if name != RANDOM]
        return weight_hashes(self.models / "diffv2ir") | {folder.name: folder_hash(folder) for folder in starts}

    def scenes(self, split: str) -> ManifestScenes:
        return manifest_scenes(self.manifest, split, dataset=self.dataset)

    def run(self, start: str, rate: float, seed: int) -> tuple[DiffV2IRPipeline, dict]:
        """Phase 3 from a start: the model and what was written of its training. Out of the cache where it is there."""
        model = STARTS[start] if start == "random" else str(self.models / STARTS[start])
        made_from = fingerprint(self.scenes("train").fingerprint(), self.steps, sorted(self.weights.items()))
        name = f"{start.replace(' ', '-')}-{rate:g}-{seed}-{made_from[:12]}"
        out = cache_dir() / "evaluation" / "real_phase3" / name
        record = train_phase(
            "phase3",
            Options(
                out,
                model=model,
                manifest=self.manifest,
                dataset=self.dataset,
                steps=self.steps,
                learning_rate=rate,
                seed=seed,
            ),
        )
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
    """The learning rate and scale of the highest mean PSNR per scene on the validation pairs, with seed 0."""
    tried = []
    source = study.scenes("val")
    for rate in RATES:
        pipeline, _ = study.run(start, rate, SEEDS[0])
        for scale in SCALES:
            scores = per_scene(study.answers(pipeline, "val", scale, SEEDS[0]), source)["psnr"]
            tried.append({"learning_rate": rate, "scale": scale, "psnr": round(float(scores.mean()), 4)})
    best = max(tried, key=lambda one: one["psnr"])
    return {"learning_rate": best["learning_rate"], "scale": best["scale"], "tried": tried}


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


def measure(study: Study, seeds: tuple[int, ...] = SEEDS) -> dict:
    """The report of `real_phase3.json`. `UserError` for a manifest that cannot be read or lacks a split."""
    test = study.scenes("test")
    trivial = baselines(study)
    scores = {name: per_scene(answers, test) for name, answers in trivial.items()}
    pictures = {"inverted grey": trivial["inverted grey"]}
    chosen, runs = {}, {}
    for start in tqdm(STARTS, desc="starts", unit="start"):
        chosen[start] = choose(study, start)
        rate, scale = chosen[start]["learning_rate"], chosen[start]["scale"]
        by_seed = []
        for seed in seeds:
            pipeline, record = study.run(start, rate, seed)
            answers = study.answers(pipeline, "test", scale, seed)
            by_seed.append(per_scene(answers, test))
            pictures.setdefault(start, answers)
            runs.setdefault(start, []).append(
                {"seed": seed, "loss": record["loss"], "seconds": record["seconds"]}
                | {metric: round(float(values.mean()), 4) for metric, values in by_seed[-1].items()}
            )
        scores[start] = {metric: np.mean([one[metric] for one in by_seed], axis=0) for metric in METRICS}
    draw(repo_root() / "out" / "real_phase3.png", test, pictures)
    groups = {record.group for record in test.records}
    return {
        "about": f"phase 3 on real pairs of {study.dataset}, from four starts; test: mean over seeds and per scene of "
        f"{len(groups)} scenes, at each picture's own size; intervals: 95% bootstrap over scenes; aligned: after the "
        "gain and offset that suit each picture best",
        "rule": "learning rate and scale of each start: highest mean PSNR per scene on the validation pairs, seed 0",
        "provenance": provenance(seeds[0]) | {"weights_sha256": study.weights},
        "pairs": {split: len(study.scenes(split)) for split in ("train", "val", "test")},
        "steps": study.steps,
        "seeds": list(seeds),
        "chosen": chosen,
        "runs": runs,
        "metrics": summary(scores),
    }


def summary(scores: dict[str, dict[str, np.ndarray]], seed: int = 0) -> dict:
    """For each metric: every method's interval, and what the last start gains over each other method, paired."""
    last = list(STARTS)[-1]
    report = {}
    for metric in METRICS:
        of = {name: by[metric] for name, by in scores.items()}
        report[metric] = {
            "mean": {name: bootstrap_interval(values, seed).as_dict() for name, values in of.items()},
            f"{last} minus": {
                name: paired_interval(of[last], values, seed).as_dict() for name, values in of.items() if name != last
            },
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
    models: Path = typer.Option(repo_root() / "models" / "tiny", help="Folder of the shipped weights."),
    out: Path = typer.Option(repo_root() / "results" / "real_phase3.json", help="The file to write."),
    steps: int = typer.Option(STEPS, min=1, help="Training steps of each run."),
    seeds: int = typer.Option(len(SEEDS), min=1, help="Seeds 0, 1, … of noise, batches and random start."),
) -> None:
    """Train phase 3 on real pairs from four starts and write results/real_phase3.json.

    Example: python -m v2ir_lib.evaluation.real_phase3 --manifest ../shared/real_pairs/manifest.csv
    """
    try:
        report = measure(Study(manifest, dataset, models, steps), tuple(range(seeds)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    write_json(out, report)
    for name, one in report["metrics"]["psnr"]["mean"].items():
        print(f"{name:24s} {one['mean']:6.2f} dB  [{one['low']:.2f}, {one['high']:.2f}]")
    print(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
