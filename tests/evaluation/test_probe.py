"""Questions asked of a scene, the features that are to answer them, and a table whose answers are known."""

import json

import numpy as np
import pytest
import torch

from v2ir_lib.diffusion.components import encode_text
from v2ir_lib.evaluation import probe
from v2ir_lib.evaluation.probe import Questions, answers_of, latent_features, measure, text_features
from v2ir_lib.world import THINGS
from v2ir_lib.world.scene import sample_scene


def spec(**changes) -> dict:
    """A park on a summer day, with nothing in it."""
    scene = dict(time="day", weather="clear", season="summer", setting="park", viewpoint="aerial", snow=False)
    return scene | dict(halogen=True, objects=[], instances=[], attributes={"objects": {}}) | changes


def vehicles(*states: str) -> list[dict]:
    return [{"kind": "car", "state": state} for state in states] + [{"kind": "person", "state": None}]


def test_what_is_not_asked_has_no_answer():
    found = answers_of(spec())
    assert {name for name, answer in found.items() if not answer} == {
        "engine running", "headlights", "warm exhaust", "just parked", "snow", "lamps", "ghost of a car",
    }  # fmt: skip
    assert [found[name] for name in probe.WORDS] == ["day", "clear", "summer", "park", "aerial"]
    assert all(found[kind] == "no" for kind in THINGS)
    shown = answers_of(spec(attributes={"objects": {"person": 2, "bus": 1}}))
    assert shown == found | {"person": "yes", "bus": "yes"}


ENGINES = [  # states, time, weather → engine running, headlights, warm exhaust, just parked
    (["cold"], "night", "clear", ("no", "no", "no", "no")),
    (["driven"], "day", "clear", ("yes", "no", "yes", "")),
    (["driven"], "day", "fog", ("yes", "yes", "yes", "")),
    (["driven", "cold"], "dusk", "clear", ("yes", "yes", "yes", "no")),
    (["just parked", "cold"], "night", "rain", ("no", "no", "yes", "yes")),
]


@pytest.mark.parametrize("states, time, weather, expected", ENGINES)
def test_engines(states, time, weather, expected):
    found = answers_of(spec(instances=vehicles(*states), time=time, weather=weather))
    assert tuple(found[name] for name in ("engine running", "headlights", "warm exhaust", "just parked")) == expected


def test_snow_lamps_and_ghosts_are_asked_where_they_may_be():
    assert answers_of(spec(season="winter", snow=True))["snow"] == "yes"
    assert answers_of(spec(season="winter"))["snow"] == "no"
    assert answers_of(spec(season="winter", weather="rain"))["snow"] == ""
    assert [answers_of(spec(time="night", halogen=lamp))["lamps"] for lamp in (True, False)] == ["halogen", "LED"]
    ghosts = [answers_of(spec(setting="street", objects=o))["ghost of a car"] for o in ([{"kind": "ghost"}], [])]
    assert ghosts == ["yes", "no"]


def test_the_world_leaves_ghosts_snow_and_headlights_where_they_are_asked_for():
    scenes = [sample_scene(7, index) for index in range(150)]
    ghosts = {scene.setting for scene in scenes if any(thing["kind"] == "ghost" for thing in scene.objects)}
    assert ghosts == set(probe.WITH_PARKING)
    assert all(scene.season == "winter" and scene.weather != "rain" for scene in scenes if scene.snow)


def test_latent_features_by_hand():
    latents = np.zeros((2, 4, 12, 12), np.float16)
    latents[0, 1] = 3
    latents[1, 2, :, 6:] = 2
    features = latent_features(latents)
    assert features.shape == (2, 8 + 4 * 36)
    assert features[0, :8] == pytest.approx([0, 3, 0, 0, 0, 0, 0, 0])
    assert features[1, :8] == pytest.approx([0, 0, 1, 0, 0, 0, 1, 0])
    cells = features[1, 8:].reshape(4, 6, 6)
    assert (cells[2, :, :3] == 0).all() and (cells[2, :, 3:] == 2).all() and not cells[[0, 1, 3]].any()


def test_text_features_leave_the_padding_out(pipeline):
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    prompts = ["abc", "a longer one"]
    states = encode_text(tokenizer, encoder, prompts)
    found = text_features(tokenizer, encoder, prompts)
    for row, length in enumerate((3 + 2, 10 + 2)):  # letters, start and end
        np.testing.assert_allclose(found[row], states[row, :length].mean(0).numpy(), atol=1e-6)
    assert not np.allclose(found[0], states[0].mean(0).numpy(), atol=1e-3)


def questions(count: int, seed: int) -> Questions:
    """The visible features know "seen", the words know "said"; "both" takes both, and "hidden" nobody knows."""
    rng = np.random.default_rng(seed)
    truth = {name: rng.integers(0, 2, count) for name in ("seen", "said", "hidden")}
    visible, caption = rng.normal(0, 1, (count, 12)), rng.normal(0, 1, (count, 9))
    visible[:, 3] += 6 * truth["seen"]
    caption[:, 1] += 6 * truth["said"]
    true_caption = np.concatenate([caption, 6.0 * truth["hidden"][:, None]], axis=1)
    words = {name: np.where(values == 1, "yes", "no") for name, values in truth.items()}
    words["four"] = np.array([f"{a}{b}" for a, b in zip(truth["seen"], truth["said"], strict=True)])
    words["asked of the seen"] = np.where(truth["seen"] == 1, words["said"], "")
    words["rare"] = np.where(np.arange(count) < 2, "yes", "no")
    return Questions(words, {"visible": visible, "caption": caption, "true caption": true_caption}, np.arange(count))


def test_the_table_says_who_knows_what():
    train, test = questions(400, 0), questions(300, 1)
    report = measure(train, test, seed=0)
    chance = pytest.approx(0.5, abs=0.12)
    expected = {  # visible, caption, both, true caption
        "seen": (1, chance, 1, chance),
        "said": (chance, 1, 1, 1),
        "hidden": (chance, chance, chance, 1),
        "four": (chance, chance, 1, chance),
        "asked of the seen": (chance, 1, 1, 1),
    }
    for name, row in expected.items():
        entry = report[name]
        for label, score in zip(("visible", "caption", "both", "true caption"), row, strict=True):
            score = pytest.approx(1, abs=0.03) if score == 1 else score
            assert entry[label]["mean"] == score, (name, label)
            assert entry[label]["low"] <= entry[label]["mean"] <= entry[label]["high"]
    gain = report["said"]["both minus visible"]
    assert gain["low"] > 0.3 and gain["mean"] == pytest.approx(
        report["said"]["both"]["mean"] - report["said"]["visible"]["mean"], abs=2e-4
    )
    nothing = report["hidden"]["both minus visible"]
    assert nothing["low"] < 0 < nothing["high"] or abs(nothing["mean"]) < 0.1
    assert report["four"]["majority"]["balanced_accuracy"] == 0.25
    assert report["asked of the seen"]["both"]["n"] == int((test.answers["seen"] == "yes").sum())
    assert report["rare"]["skipped"] and report["rare"]["classes"] == {"no": [398, 298], "yes": [2, 2]}
    assert report["seen"]["majority"]["accuracy"] == pytest.approx(
        np.mean(test.answers["seen"] == report["seen"]["majority"]["class"]), abs=1e-4
    )
    json.dumps(report, allow_nan=False)


def test_answers_on_training_scenes_are_not_what_is_reported():
    """Labels at random: any probe can learn them by heart, and must not be scored by it."""
    train, test = questions(60, 0), questions(400, 1)
    report = measure(train, test, seed=0)
    assert report["hidden"]["both"]["mean"] < 0.62 and report["hidden"]["both"]["n"] == 400


class Pack:
    """Sixteen scenes of noise."""

    name = "noise"

    def __init__(self):
        rng = np.random.default_rng(0)
        self.visible = rng.integers(0, 255, (16, 48, 48, 3)).astype(np.uint8)
        self.captions = [f"scene {i % 3}" for i in range(16)]
        self.specs = [spec(time=("day", "night")[i % 2]) for i in range(16)]

    def __len__(self) -> int:
        return 16


def test_a_packs_questions_are_read_by_the_encoders_it_is_given(pipeline, pipeline_folder, tmp_path, monkeypatch):
    from dataclasses import replace

    from v2ir_lib.plm.prepare import Encoders
    from v2ir_lib.profiles import TINY

    monkeypatch.setenv("V2IR_CACHE", str(tmp_path / "cache"))
    asked = []
    monkeypatch.setattr(
        probe, "captions", lambda visible, profile, models, name: asked.append((models, name)) or ["words"] * 16
    )
    models = {part: pipeline_folder / part for part in ("text_encoder", "tokenizer", "captioner")}
    models["autoencoder"] = pipeline_folder / "vae"
    pack, encoders = Pack(), Encoders(replace(TINY, image_size=48), models)
    found = probe.load_questions(pack, encoders)
    assert asked == [(models, "noise")]
    assert found.answers["time"].tolist() == ["day", "night"] * 8
    images = torch.from_numpy(pack.visible).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        modes = pipeline.vae.encode(images).latent_dist.mode().numpy()
    np.testing.assert_allclose(found.features["visible"], latent_features(modes), atol=5e-3)
    expected = text_features(
        pipeline.tokenizer, pipeline.text_encoder, [TINY.prompt.replace("{caption}", "scene 1"), "x"]
    )
    np.testing.assert_allclose(found.features["true caption"][1], expected[0], atol=1e-5)
    assert np.ptp(found.features["caption"], axis=0).max() < 1e-5, "one caption, one embedding"
