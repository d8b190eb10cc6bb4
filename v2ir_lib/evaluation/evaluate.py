"""What `v2ir evaluate` does: a folder of translations against a folder of true infrared pictures, matched by name."""

from collections.abc import Sequence
from hashlib import sha256 as new_sha256
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from v2ir_lib.diffusion.images import resize
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.matching import Item, Pictures, match, read
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.evaluation.scores import METRICS, Scores, score
from v2ir_lib.evaluation.summaries import checks_of, classes_of, differences_of, metrics_of
from v2ir_lib.files import repo_root, sha256, write_json
from v2ir_lib.metrics.distribution import FD_LEAST, KID_LEAST, feature_distance, kernel_distance
from v2ir_lib.metrics.features import BATCH, TOWER, tiny_features, tiny_tower
from v2ir_lib.metrics.inception import InceptionFID
from v2ir_lib.plm.cache import chunks

ABOUT = (
    "mean over scenes with 95% bootstrap intervals over scenes; data range 255; grey levels 0 to 255; n: scenes, "
    "pictures: pictures that the question was asked of; the text Infinity: equal pictures; null: there is none"
)


def evaluate(
    predictions: str | Path,
    references: str | Path,
    *,
    manifest: str | Path | None = None,
    visible: str | Path | None = None,
    inception: str | Path | None = None,
    tower: str | Path | None = None,
    seed: int = 0,
    out: str | Path | None = None,
) -> dict:
    """Compare PREDICTIONS with REFERENCES; returns the report, and writes it as JSON to `out` if given.

    manifest: says which pictures are of one scene, and may know the visible pictures, the time of day and class masks.
    visible: a folder of visible pictures of the same names. inception: Inception's weights file, for FID.
    tower: the feature network of FD-tiny and KID-tiny, by default the shipped one.
    `UserError` for bad input; nothing is then written.
    """
    if out is not None and Path(out).is_dir():
        raise UserError(f"{out} is a folder: give --out a file name")
    items = match(predictions, references, manifest, visible)
    fid = InceptionFID(inception) if inception is not None else None
    if fid is not None and len(items) < FD_LEAST:
        raise UserError(f"FID needs {FD_LEAST} pictures or more on each side, here are {len(items)}: leave --inception")
    notes: list[str] = []
    tower = _tower(tower, len(items), notes)
    rows, inverted, features, equal = [], [], ([], []), 0
    bar = tqdm(total=len(items), desc="evaluating", unit="picture", delay=2)
    for chunk in chunks(len(items), BATCH):
        loaded = [read(item) for item in items[chunk]]
        for item, one in zip(items[chunk], loaded, strict=True):
            rows.append(_score(one.picture, one, item.time))
            if one.luma is not None:
                inverted.append(_score(255 - one.luma, one, item.time))
            equal += bool((one.picture == one.truth).all())
            if fid is not None:
                fid.add(one.picture, real=False)
                fid.add(one.truth, real=True)
            bar.update()
        if tower is not None:
            for kept, pictures in zip(features, zip(*((p.picture, p.truth) for p in loaded), strict=True), strict=True):
                kept.append(tiny_features(tower, _at(tower.config.image_size, pictures)))
    bar.close()
    scenes = [item.record.group for item in items]
    scores = _table(rows)
    metrics = metrics_of(scores, scenes, seed)
    report = {
        "about": ABOUT,
        "inputs": _inputs(items, predictions, references, manifest, visible),
        "pictures": len(items),
        "scenes": len(set(scenes)),
        "scene": "a group of the manifest" if manifest is not None else "one picture",
        "equal_pictures": equal,
        "metrics": metrics,
        "checks": checks_of(metrics),
        "classes": classes_of(scores, scenes, seed),
        "inverted_grey": None,
        "distribution": _distribution(features, fid, seed),
        "notes": notes,
        "provenance": provenance(seed),
    }
    if len(inverted) == len(items):
        theirs = _table(inverted)
        report["inverted_grey"] = {
            "metrics": metrics_of(theirs, scenes, seed),
            "prediction_minus_inverted_grey": differences_of(scores, theirs, scenes, seed),
        }
    elif any(item.record.visible for item in items):
        notes.append(
            f"{len(items) - len(inverted)} visible pictures are missing, or show another view than the infrared"
        )
    if report["scenes"] == 1:
        notes.append("one scene: no interval can be given")
    if out is not None:
        write_json(out, report)
    return report


def lines(report: dict) -> list[str]:
    """The report for a person."""
    text = [f"{report['pictures']} pictures, {report['scenes']} scenes ({report['scene']} each)"]
    text += [f"{'':24s}{'mean':>9s}  {'95% interval':19s}{'scenes':>6s}"]
    for name, entry in report["metrics"].items():
        mark = (report["checks"].get(name) or {}).get("verdict")
        text.append(f"{name:24s}{_cells(entry)}  {METRICS[name].says}{f': {mark}' if mark else ''}")
    for name, entry in report["classes"].items():
        text.append(f"{'error ' + name:24s}{_cells(entry['error'])}  bias {_number(entry['bias']['mean'], '+.1f')}")
    if report["inverted_grey"]:
        gains = report["inverted_grey"]["prediction_minus_inverted_grey"]
        text.append("more than the negative of the grey visible picture has:")
        text += [f"{name:24s}{_cells(gains[name])}" for name in ("psnr", "ssim", "psnr_aligned", "edge_agreement")]
    for name, value in report["distribution"].items():
        if value is not None:
            spread = f" ± {value['spread']:.4f} over halves" if "spread" in value else ""
            text.append(f"{name:24s}{value['value']:9.4f}{spread}, {value['n']} pictures")
    return text + [f"note: {note}" for note in report["notes"]]


def _score(picture: np.ndarray, one: Pictures, time: str) -> dict[str, float]:
    luma, classes = (None if part is None else part[None] for part in (one.luma, one.classes))
    return {name: value[0] for name, value in score(picture[None], one.truth[None], luma, classes, [time]).items()}


def _table(rows: Sequence[dict[str, float]]) -> Scores:
    """Columns of rows that may lack some; NaN there."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}


def _tower(folder: str | Path | None, count: int, notes: list[str]):
    """The feature network, or None with the reason noted."""
    if count < KID_LEAST:
        notes.append(f"no FD-tiny and no KID-tiny: they need {FD_LEAST} and {KID_LEAST} pictures, here are {count}")
        return None
    if folder is None and not (repo_root() / TOWER).is_dir():
        notes.append(f"no FD-tiny and no KID-tiny: {TOWER} is not there")
        return None
    if count < FD_LEAST:
        notes.append(f"no FD-tiny: it needs {FD_LEAST} pictures, here are {count}; KID-tiny takes its place")
    return tiny_tower(folder)


def _at(side: int, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Grey pictures of any size at the network's, uint8 (N, side, side)."""
    return np.stack([resize(np.ascontiguousarray(picture), side, side) for picture in pictures])


def _distribution(features: tuple[list, list], fid: InceptionFID | None, seed: int) -> dict[str, dict | None]:
    found: dict[str, dict | None] = {"fd_tiny": None, "kid_tiny": None, "fid": None}
    if features[0]:
        ours, truth = (np.concatenate(part) for part in features)
        found["kid_tiny"] = kernel_distance(ours, truth, seed).as_dict()
        if len(ours) >= FD_LEAST:
            found["fd_tiny"] = {"value": round(feature_distance(ours, truth), 4), "n": len(ours)}
    if fid is not None:
        found["fid"] = {"value": round(fid.value(), 4), "n": fid.counts[0]}
    return found


def _inputs(items: Sequence[Item], predictions, references, manifest, visible) -> dict:
    """What was compared: paths as given, and one SHA-256 over names and contents of each side."""
    given = {"predictions": predictions, "references": references, "manifest": manifest, "visible": visible}
    digests = {"predictions": new_sha256(), "references": new_sha256()}
    for item in items:
        for side, path in (("predictions", item.prediction), ("references", item.record.infrared)):
            digests[side].update(f"{item.name}\0{sha256(path)}\n".encode())
    hashes = {side: digest.hexdigest() for side, digest in digests.items()}
    if manifest is not None:
        hashes["manifest"] = sha256(manifest)
    return {key: None if path is None else str(path) for key, path in given.items()} | {"sha256": hashes}


def _cells(entry: dict) -> str:
    between = "" if entry["low"] is None else f"[{entry['low']:.3f}, {entry['high']:.3f}]"
    return f"{_number(entry['mean'], '.3f'):>9s}  {between:19s}{entry['n']:6d}"


def _number(value: float | str | None, form: str) -> str:
    if value is None:
        return "–"
    return value.lower() if isinstance(value, str) else format(value, form)
