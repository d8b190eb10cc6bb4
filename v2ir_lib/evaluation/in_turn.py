"""`python -m v2ir_lib.evaluation.in_turn`: does `v2ir train phase1`, `phase2`, `phase3` make what is shipped?

The three commands in turn, each from what the one before left, the first from the shipped base; then the model is
compared with the shipped one on the same held-out scenes, from the same noise. What is done is in the cache.
"""

import sys
from pathlib import Path

import torch
import typer

from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.provenance import provenance, weight_hashes
from v2ir_lib.evaluation.scenes import Scenes, translate
from v2ir_lib.files import cache_dir, repo_root, write_json
from v2ir_lib.metrics.intervals import bootstrap_interval, paired_interval
from v2ir_lib.metrics.pixel import psnr, ssim
from v2ir_lib.plm.cache import fingerprint
from v2ir_lib.plm.phases import PHASES
from v2ir_lib.plm.prepare import Encoders, stand_ins
from v2ir_lib.plm.run import Options, train_phase
from v2ir_lib.profiles import TINY
from v2ir_lib.weights import folder_hash
from v2ir_lib.world.cameras import STYLE_CAMERA
from v2ir_lib.world.packs import load_pack

SHIPPED = repo_root() / TINY.sources.pipeline
KEPT = ("steps", "batch_size", "learning_rate", "trained_parameters", "loss", "seconds", "images_per_second")


def train_in_turn(folder: Path, seed: int, **options) -> tuple[Path, dict[str, dict]]:
    """Train the three phases into `folder`; the last one's folder, and what was written of each. Resumable.

    options: of `plm.run.Options`, for all three.
    """
    records, start = {}, None
    for name in PHASES:
        record = train_phase(name, Options(folder / name, model=start, seed=seed, **options))
        records[name] = {key: record[key] for key in KEPT}
        start = str(folder / name)
    return folder / PHASES[-1], records


def compare(made: Path, seed: int, limit: int | None = None) -> dict:
    """PSNR and SSIM of a model and of the shipped one on the held-out scenes, and the paired difference."""
    encoders = Encoders(TINY, stand_ins(SHIPPED.parent), workers=torch.get_num_threads())
    scenes = Scenes(load_pack("heldout", limit=limit), STYLE_CAMERA, encoders)
    guidance = {key: getattr(TINY.guidance, key) for key in ("s_text", "s_visible", "s_segments", "steps")}
    folders = {"trained in turn": made, "shipped": SHIPPED}
    answers = {
        name: translate(DiffV2IRPipeline.from_pretrained(folder), scenes, guidance, seed)
        for name, folder in folders.items()
    }
    report: dict = {"scenes": len(scenes), "camera": STYLE_CAMERA, "guidance": guidance}
    for metric, function in (("psnr", psnr), ("ssim", ssim)):
        scores = {name: function(pictures, scenes.infrared) for name, pictures in answers.items()}
        report[metric] = {name: bootstrap_interval(values, seed).as_dict() for name, values in scores.items()}
        gain = paired_interval(scores["trained in turn"], scores["shipped"], seed)
        report[metric]["trained in turn minus shipped"] = gain.as_dict()
    return report


def main(
    work: Path = typer.Option(None, help="Folder of the three runs; in the cache if not given."),
    out: Path = typer.Option(repo_root() / "results" / "train_in_turn.json", help="The file to write."),
    seed: int = typer.Option(0, help="Seed of the trainings and of the noise."),
    steps: int = typer.Option(None, min=1, help="Steps of each phase, to see that all runs; the profile's without it."),
    limit: int = typer.Option(None, min=2, help="Held-out scenes; all 512 if not given."),
) -> None:
    """Train phases 1, 2, 3 in turn with the profile's settings, compare with the shipped model, write the figures.

    Example: python -m v2ir_lib.evaluation.in_turn
    """
    try:
        base = folder_hash(SHIPPED.parent / "base_unet")
        name = f"in_turn-{seed}-{fingerprint(base, TINY, steps)[:12]}"
        folder = work or cache_dir() / "evaluation" / name
        made, records = train_in_turn(folder, seed, steps=steps)
        report = compare(made, seed, limit)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    trained = {"phases": records, "seconds": round(sum(one["seconds"] for one in records.values()), 1)}
    hashes = {"weights_sha256": weight_hashes(SHIPPED), "made_sha256": weight_hashes(made)}
    about = (
        "v2ir train phase1, phase2, phase3 in turn from the shipped base, against the shipped model; seconds by the "
        "clock, beside whatever else the machine did"
    )
    write_json(out, {"about": about, "provenance": provenance(seed) | hashes} | trained | report)
    for name in ("trained in turn", "shipped", "trained in turn minus shipped"):
        print(f"{name:30s} {report['psnr'][name]['mean']:6.2f} dB")
    print(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
