"""`python -m v2ir_lib.evaluation.fd_validity`: may FD-tiny and KID-tiny be believed? → `results/fd_tiny.json`.

A distance that means something is least between two sets of the same kind and rises with every step away from it. The
held-out scenes in one camera are made worse in four ways, step by step, and compared with themselves unharmed and with
other scenes in the same camera.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import typer
from scipy.ndimage import gaussian_filter
from tqdm.auto import tqdm

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.metrics.distribution import FD_LEAST, KID_LEAST, enough_for, feature_distance, kernel_distance
from v2ir_lib.metrics.features import TOWER, tiny_features, tiny_tower
from v2ir_lib.plm.prepare import infrared_pictures
from v2ir_lib.weights import folder_hash
from v2ir_lib.world.cameras import CAMERAS, STYLE_CAMERA
from v2ir_lib.world.packs import load_pack

FEW = 64  # pictures of a small set, for KID
BLUR = (0.0, 0.5, 1.0, 2.0, 4.0)  # σ in pixels of 96
NOISE = (0.0, 5.0, 10.0, 20.0, 40.0)  # σ in grey levels
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of pictures that another camera took
OTHER_BAND, OTHER_CAMERA = "nir-security", "lwir-black-hot"  # another band; the same band with the greys turned round


def distortions(
    truth: np.ndarray, others: dict[str, np.ndarray], seed: int
) -> dict[str, tuple[tuple[float, ...], Callable[[float], np.ndarray]]]:
    """Name → (steps, pictures of a step), uint8 (N, H, W). `others`: the same scenes by another camera, by kind."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(truth.shape)
    order = rng.permutation(len(truth))

    def swapped(pictures: np.ndarray, share: float) -> np.ndarray:
        taken = np.zeros(len(truth), dtype=bool)
        taken[order[: round(share * len(truth))]] = True  # more of the same ones with every step
        return np.where(taken[:, None, None], pictures, truth)

    def grey(values: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)

    made: dict = {
        "blur": (BLUR, lambda sigma: grey(gaussian_filter(truth.astype(np.float64), (0, sigma, sigma)))),
        "noise": (NOISE, lambda sigma: grey(truth + sigma * noise)),
    }
    return made | {
        name: (SHARES, lambda share, pictures=pictures: swapped(pictures, share)) for name, pictures in others.items()
    }


def measure(tower, truth: np.ndarray, others: dict[str, np.ndarray], real: np.ndarray, seed: int) -> dict:
    """Each distortion's steps with FD-tiny and KID-tiny against the truth and against other real scenes.

    truth: uint8 (N, 96, 96); real: other scenes by the same camera, as many. `rises`: every step is farther than the
    one before. `small`: KID-tiny of the first 64 only.
    """
    enough_for("FD-tiny", FD_LEAST, len(truth), len(real))
    own, other = tiny_features(tower, truth), tiny_features(tower, real)
    report = {"other_real_scenes": _distances(other, own, own, seed), "distortions": {}}
    for name, (steps, make) in tqdm(distortions(truth, others, seed).items(), desc="distortions"):
        rows = [
            {"step": step} | _distances(tiny_features(tower, make(step)), own, other, seed)
            for step in tqdm(steps, desc=name, leave=False)
        ]
        columns = [key for key in rows[0] if key != "step"]
        report["distortions"][name] = {
            "steps": rows,
            "rises": {key: bool((np.diff([_value(row[key]) for row in rows]) > 0).all()) for key in columns},
        }
    return report


def _distances(features: np.ndarray, own: np.ndarray, other: np.ndarray, seed: int) -> dict:
    few = slice(0, max(KID_LEAST, min(FEW, len(own))))
    found = {}
    for name, target in {"same_scenes": own, "other_scenes": other}.items():
        found[f"fd_tiny_{name}"] = round(feature_distance(features, target), 4)
        found[f"kid_tiny_{name}"] = kernel_distance(features, target, seed).as_dict()
        found[f"kid_tiny_small_{name}"] = kernel_distance(features[few], target[few], seed).as_dict()
    return found


def _value(entry: float | dict) -> float:
    return entry["value"] if isinstance(entry, dict) else entry


def run(models: Path, out: Path, seed: int) -> dict:
    """Measure on the held-out scenes and write the report."""
    folder = models / TOWER.name
    tower = tiny_tower(folder)
    pack, more = load_pack("heldout"), load_pack("pairs", limit=FD_LEAST)
    scenes = range(len(pack))
    truth, band, camera = (infrared_pictures(pack, scenes, name) for name in (STYLE_CAMERA, OTHER_BAND, OTHER_CAMERA))
    real = infrared_pictures(more, range(len(more)), STYLE_CAMERA)
    report = {
        "about": "FD-tiny and KID-tiny of distorted held-out pictures, against the same scenes unharmed and against "
        "other real scenes; steps: pixels of blur, grey levels of noise, share of pictures by the other camera",
        "camera": STYLE_CAMERA,
        "wrong_band": f"{OTHER_BAND} ({CAMERAS[OTHER_BAND].band})",
        "swapped_camera": f"{OTHER_CAMERA} ({CAMERAS[OTHER_CAMERA].band})",
        "pictures": len(truth),
        "small_set": FEW,
        "other_scenes": f"the first {len(real)} scenes of the pack {more.name!r}, which the features were trained on",
        **measure(tower, truth, {"wrong_band": band, "swapped_camera": camera}, real, seed),
        "features": {"folder": str(TOWER), "sha256": folder_hash(folder)},
        "provenance": provenance(seed),
    }
    write_json(out, report)
    return report


def main(
    models: Path = typer.Option(repo_root() / "models" / "tiny", help="Folder of the stand-ins."),
    out: Path = typer.Option(repo_root() / "results" / "fd_tiny.json", help="File to write."),
    seed: int = typer.Option(0, help="Seed of the noise, of what is swapped, and of KID's halves."),
) -> None:
    """Show that FD-tiny and KID-tiny rise with blur, noise, the wrong band and swapped cameras.

    Example: python -m v2ir_lib.evaluation.fd_validity
    """
    try:
        report = run(models, out, seed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(f"other real scenes: FD-tiny {report['other_real_scenes']['fd_tiny_same_scenes']:.2f}")
    for name, found in report["distortions"].items():
        for key, rises in found["rises"].items():
            values = "  ".join(f"{_value(row[key]):9.4f}" for row in found["steps"])
            print(f"{name:16s}{key:30s}{values}  {'rises' if rises else 'DOES NOT RISE'}")
    print(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
