"""`v2ir annotate`: one clear line for everything that is bad; a bad picture is skipped, all else is refused."""

import json
import shutil

import pyarrow.parquet
import pytest

from v2ir_lib.plm.annotator import segments_path
from v2ir_lib.records import Record, read_manifest, write_manifest


def test_bad_pictures_are_named_and_skipped(annotate, manifest, tmp_path):
    annotate(manifest, tmp_path / "out")
    (manifest.parent / "visible/b.png").write_text("no picture")
    (manifest.parent / "visible/c.png").unlink()
    code, said, err = annotate(manifest, tmp_path / "out", "--json")
    assert code == 2 and len(err) == 2
    assert err[0].startswith("skipped night/b: ") and "not" in err[0] and "c.png: no such file" in err[1]
    report = json.loads(said)
    assert list(report["skipped"]) == ["night/b", "c"] and report["kept"] == 1
    assert not segments_path(tmp_path / "out", "c").exists(), "a map of a picture that is gone"
    assert [row.id for row in read_manifest(tmp_path / "out/manifest.csv")] == ["a", "alone"]
    assert pyarrow.parquet.read_table(tmp_path / "out/captions.parquet")["id"].to_pylist() == ["a"]


@pytest.mark.parametrize("id", ["../up", "/root", "a\\b", "a//b", "..", "x/../y", "C:x"])
def test_ids_that_lead_elsewhere_are_refused(annotate, manifest, tmp_path, id):
    write_manifest(manifest, [Record(id, "g", "visible/a.png", "")])
    code, _, err = annotate(manifest, tmp_path / "out")
    assert code == 2 and len(err) == 1 and "rename" in err[0] and not (tmp_path / "out").exists()


BAD = {
    "rendering": (["--rendering", "heat"], "regions, edges, union"),
    "workers": (["--workers", "0"], "at least 1"),
    "nucleus": (["--nucleus", "9"], "probability"),
    "profile": (["--profile", "huge"], "tiny, full"),
    "device": (["--device", "quantum"], "quantum"),
    "models": (["--models", "nowhere"], "captioner"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_settings(annotate, manifest, tmp_path, kind):
    options, word = BAD[kind]
    code, _, err = annotate(manifest, tmp_path / "out", *options)
    assert code == 2 and len(err) == 1 and word in err[0] and not (tmp_path / "out").exists()


def test_bad_manifests(annotate, manifest, tmp_path):
    before = manifest.read_bytes()
    for rows, out, word in (
        ([Record("x", "g", "", "infrared/x.png")], tmp_path / "out", "nothing to annotate"),
        ([Record("x", "g", "a.png", ""), Record("X", "g", "a.png", "")], tmp_path / "out", "differ in case only"),
        (None, manifest.parent, "choose another --out"),
    ):
        if rows is not None:
            write_manifest(tmp_path / "m.csv", rows)
        code, _, err = annotate(tmp_path / "m.csv" if rows else manifest, out)
        assert code == 2 and len(err) == 1 and word in err[0]
    assert manifest.read_bytes() == before and not (tmp_path / "out").exists()


def test_a_broken_model_is_one_line(annotate, manifest, tmp_path, models):
    broken = shutil.copytree(models, tmp_path / "broken")
    weights = next((broken / "captioner").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:500])
    code, _, err = annotate(manifest, tmp_path / "out", models=broken)
    assert code == 2 and len(err) == 1 and str(weights) in err[0] and not (tmp_path / "out").exists()
