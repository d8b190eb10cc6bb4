"""`v2ir evaluate` from the outside: the report, its JSON, and one clear line for everything that can be wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from v2ir_lib.cli import main
from v2ir_lib.evaluation.evaluate import evaluate as evaluate_folders
from v2ir_lib.records import Record, write_manifest
from v2ir_lib.world import CLASS_INDEX


@pytest.fixture
def evaluate(capsys):
    """Run the command; returns exit code, stdout and the error line."""

    def run(*args):
        code = main(["evaluate", *map(str, args)])
        out, err = capsys.readouterr()
        if code:
            assert err.count("\n") == 1 and err.startswith("error: ") and out == ""
        return code, out, err

    return run


def save(folder, pictures: dict[str, np.ndarray]):
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)
    return folder


@pytest.fixture
def truth() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {f"s{i // 2}/{i}.png": rng.integers(30, 220, (20, 24)).astype(np.uint8) for i in range(6)}


def worse(truth, by=5):
    return {name: (picture + by).astype(np.uint8) for name, picture in truth.items()}


def test_a_folder_against_itself(evaluate, tmp_path, truth):
    folder = save(tmp_path / "ir", truth)
    code, out, _ = evaluate(folder, folder, "--json")
    report = json.loads(out, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))
    assert code == 0 and report["equal_pictures"] == report["pictures"] == 6
    assert report["metrics"]["psnr"]["mean"] == "Infinity" and float("Infinity") == np.inf
    assert report["metrics"]["psnr"]["low"] is None
    assert report["metrics"]["ssim"] == {"mean": 1, "low": 1, "high": 1, "n": 6, "level": 0.95, "pictures": 6}
    assert report["checks"]["edge_agreement"]["verdict"] == "passes"
    code, out, _ = evaluate(folder, folder)
    assert code == 0 and "infinity" in next(line for line in out.splitlines() if line.startswith("psnr "))


def test_values_intervals_and_the_file(evaluate, tmp_path, truth):
    """An error of 5 everywhere: 34.151 dB in each picture, whatever is drawn."""
    predictions, references = save(tmp_path / "p", worse(truth)), save(tmp_path / "r", truth)
    code, out, _ = evaluate(predictions, references, "--json", "--out", tmp_path / "made" / "report.json")
    report = json.loads(out)
    assert code == 0 and json.loads((tmp_path / "made" / "report.json").read_text()) == report
    entry = report["metrics"]["psnr"]
    assert [round(entry[key], 3) for key in ("mean", "low", "high")] == [34.151] * 3 and entry["n"] == 6
    assert report["scenes"] == 6 and report["scene"] == "one picture" and report["equal_pictures"] == 0
    assert report["distribution"] == {"fd_tiny": None, "kid_tiny": None, "fid": None}
    assert report["notes"] == ["no FD-tiny and no KID-tiny: they need 512 and 16 pictures, here are 6"]
    assert report["inverted_grey"] is None and "beyond_luma" not in report["metrics"]
    assert report["provenance"]["seed"] == 0 and len(report["inputs"]["sha256"]["predictions"]) == 64
    again = json.loads(evaluate(predictions, references, "--json")[1])
    assert again["inputs"] == report["inputs"] and again["metrics"] == report["metrics"]
    save(tmp_path / "p", {"s0/0.png": truth["s0/0.png"]})
    changed = json.loads(evaluate(predictions, references, "--json")[1])["inputs"]["sha256"]
    assert changed["predictions"] != report["inputs"]["sha256"]["predictions"]
    assert changed["references"] == report["inputs"]["sha256"]["references"]


@pytest.fixture
def manifest(tmp_path, truth):
    """Three night scenes of two frames: people in front, half of the ground warm; a lamp; classes at twice the size."""
    rng = np.random.default_rng(1)
    records = []
    for name in truth:
        classes = np.full((40, 48), CLASS_INDEX["road"], np.uint8)
        classes[:8], classes[20:32, 8:16] = CLASS_INDEX["sky"], CLASS_INDEX["person"]
        truth[name][:4], truth[name][10:16, 4:8] = 20, 240
        seen = rng.integers(0, 40, (40, 48, 3)).astype(np.uint8)
        seen[8:20, 34:46] = 255
        save(tmp_path, {f"classes/{name}": classes, f"visible/{name}": seen})
        record = Record(name.replace("/", "-"), name.split("/")[0], f"visible/{name}", f"r/{name}")
        records.append(replace(record, classes=f"classes/{name}", caption="a street at night, with people"))
    save(tmp_path / "r", truth)
    write_manifest(tmp_path / "m.csv", records)
    return tmp_path / "m.csv"


def test_scenes_masks_and_lamps_from_a_manifest(evaluate, tmp_path, truth, manifest):
    predictions = worse(truth)
    predictions["s0/0.png"] = truth["s0/0.png"] + np.uint8(10)
    for name in predictions:
        predictions[name][10:16, 4:8] = 200  # people less warm than they are
    code, out, _ = evaluate(save(tmp_path / "p", predictions), tmp_path / "r", "--manifest", manifest, "--json")
    report = json.loads(out)
    assert code == 0 and report["pictures"] == 6 and report["scenes"] == 3
    metrics = report["metrics"]
    assert metrics["psnr"]["n"] == 3 and metrics["psnr"]["pictures"] == 6
    assert metrics["people_order"]["mean"] == metrics["sky_order"]["mean"] == 1
    assert metrics["water_order"] == dict(mean=None, low=None, high=None, n=0, level=0.95, pictures=0)
    # 40 too cold among ground that is 5 too warm, in one of six pictures 10
    assert metrics["people_contrast"]["mean"] == pytest.approx(-40 - (5 + 5 + 7.5) / 3, abs=1e-3)
    assert report["classes"]["person"]["error"]["mean"] == 40 == -report["classes"]["person"]["bias"]["mean"]
    assert report["classes"]["road"]["bias"]["mean"] == pytest.approx((5 + 5 + 7.5) / 3, abs=0.01)
    assert set(report["classes"]) == {"sky", "road", "person"}
    assert metrics["beyond_luma"]["mean"] > 0.9 and report["checks"]["beyond_luma"]["verdict"] == "passes"
    assert metrics["lamp_leak"]["pictures"] == 6 and abs(metrics["lamp_leak"]["mean"]) < 10
    theirs = report["inverted_grey"]
    assert theirs["metrics"]["beyond_luma"]["mean"] == 0 and theirs["metrics"]["luma_correlation"]["mean"] == -1
    gain = theirs["prediction_minus_inverted_grey"]["psnr"]
    assert gain["low"] > 10 and gain["mean"] == pytest.approx(
        metrics["psnr"]["mean"] - theirs["metrics"]["psnr"]["mean"], abs=1e-3
    )
    code, out, _ = evaluate(tmp_path / "p", tmp_path / "r", "--manifest", manifest)
    assert code == 0 and "error person" in out and "beyond_luma" in out and "passes" in out


def test_visible_from_a_folder_and_names_with_other_suffixes(evaluate, tmp_path, truth, manifest):
    jpeg = save(tmp_path / "v", {n.replace("png", "jpg"): np.dstack([255 - p] * 3) for n, p in truth.items()})
    code, out, _ = evaluate(tmp_path / "r", tmp_path / "r", "--visible", jpeg, "--json")
    report = json.loads(out)
    assert code == 0 and report["metrics"]["luma_correlation"]["mean"] < -0.9 and not report["classes"]
    assert report["metrics"]["luma_correlation"]["mean"] == report["metrics"]["luma_correlation_truth"]["mean"]
    save(jpeg, {"s0/0.jpg": np.zeros((20, 80, 3), np.uint8)})
    report = json.loads(evaluate(tmp_path / "r", tmp_path / "r", "--visible", jpeg, "--json")[1])
    assert report["metrics"]["luma_correlation"]["pictures"] == 5 and report["inverted_grey"] is None
    assert report["notes"][-1] == "1 visible pictures are missing, or show another view than the infrared"


def test_one_picture_has_no_interval(evaluate, tmp_path, truth):
    one = dict([next(iter(truth.items()))])
    predictions, references = save(tmp_path / "p", worse(one)), save(tmp_path / "r", one)
    for pair in ((predictions, references), (predictions / "s0/0.png", references / "s0/0.png")):
        code, out, _ = evaluate(*pair, "--json")
        report = json.loads(out)
        assert code == 0 and report["notes"][-1] == "one scene: no interval can be given"
        assert report["metrics"]["psnr"] | {"mean": 0} == dict(
            mean=0, low=None, high=None, n=1, level=0.95, pictures=1
        ) and report["metrics"]["psnr"]["mean"] == pytest.approx(34.1514)
    assert evaluate(predictions, references)[0] == 0


def test_bad_input_is_one_line(evaluate, tmp_path, truth, manifest):
    predictions, references = save(tmp_path / "p", worse(truth)), tmp_path / "r"
    (tmp_path / "empty").mkdir()
    first = {"s0/0.png": truth["s0/0.png"]}
    others = {f"x{i}.png": truth["s0/0.png"] for i in range(5)}

    def error(*args):
        code, _, err = evaluate(*args)
        assert code == 2
        return err

    assert "no such folder" in error(predictions, tmp_path / "nowhere")
    assert "no pictures in" in error(tmp_path / "empty", references)
    assert "no name is in both folders" in error(save(tmp_path / "x", others), references)
    assert "x0, x1, x2 and 2 more" in error(tmp_path / "x", references)
    assert "has no picture for s0/1, s1/2, s1/3 and 2 more" in error(save(tmp_path / "one", first), references)
    assert f"{references} has no picture for x0, x1" in error(
        save(references.parent / "p2", truth | others), references
    )
    twice = save(tmp_path / "twice", {**truth, "s0/0.jpg": truth["s0/0.png"]})
    assert "0.jpg and 0.png: names must differ" in error(twice, references)
    small = save(tmp_path / "small", truth | {"s1/2.png": truth["s1/2.png"][:16]})
    assert "s1/2.png is 24×16 pixels and" in error(small, references) and "24×20" in error(small, references)
    assert "in colour" in error(
        predictions, save(tmp_path / "c", {n: np.dstack([p, p, p // 2]) for n, p in truth.items()})
    )
    deep = {name: picture.astype(np.uint16) * 200 for name, picture in truth.items()}
    assert "has 16 bits" in error(predictions, save(tmp_path / "deep", deep))
    tiny = save(tmp_path / "tiny", {"a.png": truth["s0/0.png"][:11]})
    assert "SSIM needs more than 11" in error(tiny, tiny)
    assert "no column" in error(predictions, references, "--manifest", _csv(tmp_path, "id,visible\na,b\n"))
    assert "m2.csv has no row for s0/0, s0/1, s1/2 and 3 more" in error(
        predictions, references, "--manifest", _csv(tmp_path, "id,group,visible,infrared\nq,q,q.png,q.png\n")
    )
    rows = "id,group,visible,infrared\n" + "".join(f"a{i},g,,{i}/0.png\nb{i},g,,{i}/1.png\n" for i in range(2))
    pair = save(tmp_path / "pair", {"0.png": truth["s0/0.png"], "1.png": truth["s0/1.png"]})
    assert "several rows for 0, 1" in error(pair, pair, "--manifest", _csv(tmp_path, rows))
    assert "has no picture for" in error(predictions, references, "--visible", save(tmp_path / "v1", first))
    assert "is a folder: give --out a file name" in error(predictions, references, "--out", tmp_path)
    assert "no file" in error(predictions, references, "--inception", tmp_path / "no.pth")
    (predictions / "s1" / "3.png").write_bytes((predictions / "s1" / "3.png").read_bytes()[:200])
    assert "s1/3.png" in error(predictions, references, "--out", tmp_path / "report.json")
    assert not (tmp_path / "report.json").exists()


def _csv(folder, text: str):
    (folder / "m2.csv").write_text(text)
    return folder / "m2.csv"


def test_a_deep_reference_with_its_range(tmp_path, truth):
    """Grey levels 0 … 255 stored as 1000 + 100 · grey: the manifest's range brings them back."""
    deep = {name: (1000 + 100 * picture.astype(np.uint16)).astype(np.uint16) for name, picture in truth.items()}
    save(tmp_path / "deep", deep)
    rows = [replace(Record(n, n, "", f"deep/{n}"), grey_low=1000.0, grey_high=26500.0) for n in truth]
    write_manifest(tmp_path / "m.csv", rows)
    report = evaluate_folders(save(tmp_path / "p", truth), tmp_path / "deep", manifest=tmp_path / "m.csv")
    assert report["equal_pictures"] == 6


def test_kid_from_sixteen_pictures_on(tmp_path):
    rng = np.random.default_rng(0)
    truth = {f"{i}.png": rng.integers(0, 255, (16, 16)).astype(np.uint8) for i in range(16)}
    flat = {name: np.full_like(picture, 60) for name, picture in truth.items()}
    references = save(tmp_path / "r", truth)
    report = evaluate_folders(save(tmp_path / "p", flat), references)
    assert report["distribution"]["kid_tiny"]["n"] == 16 and report["distribution"]["fd_tiny"] is None
    assert report["notes"] == ["no FD-tiny: it needs 512 pictures, here are 16; KID-tiny takes its place"]
    same = evaluate_folders(references, references)["distribution"]["kid_tiny"]["value"]
    assert same < 0 < report["distribution"]["kid_tiny"]["value"]
