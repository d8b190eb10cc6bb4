"""From pictures to latents: crops that pairs share, moments that the right model made, what a phase is given."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from random_models import random_components

from v2ir_lib.diffusion.images import resize
from v2ir_lib.errors import UserError
from v2ir_lib.plm import annotate as annotation
from v2ir_lib.plm import prepare
from v2ir_lib.plm.dataset import crops_of, looks_of
from v2ir_lib.plm.phases import PHASES, get_phase
from v2ir_lib.plm.prepare import Encoders, condition_latents, infrared_moments, load_data
from v2ir_lib.plm.sources import exposure_seed
from v2ir_lib.profiles import FULL, TINY
from v2ir_lib.world.cameras import STYLE_CAMERA, TRAIN_CAMERAS

SMALL = replace(TINY, image_size=16, train_resize=20, reading_size=16)


class Scenes(SimpleNamespace):
    """Five scenes of random pictures."""

    def __len__(self) -> int:
        return len(self.visible)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test here reads or fills the real cache."""
    monkeypatch.setenv("V2IR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def scenes() -> Scenes:
    rng = np.random.default_rng(0)
    radiance = rng.uniform(20, 60, (5, 4, 16, 16)).astype(np.float32)
    return Scenes(name="five", radiance=radiance, visible=rng.integers(0, 255, (5, 32, 32, 3)).astype(np.uint8))


@pytest.fixture(scope="module")
def autoencoder():
    return random_components()["vae"].eval()


@pytest.fixture
def encoders(autoencoder) -> Encoders:
    made = Encoders(SMALL, {})
    made.autoencoder = autoencoder
    return made


def test_crops_are_the_same_for_all_pictures_of_a_scene_and_lie_inside():
    assert crops_of(3, 8, 104, 96) == crops_of(3, 8, 104, 96)
    assert crops_of(3, 8, 104, 96)[:4] == crops_of(3, 4, 104, 96)
    many = [crop for scene in range(60) for crop in crops_of(scene, 4, 104, 96)[1:]]
    assert {crop.top for crop in many} == {crop.left for crop in many} == set(range(9))
    picture = np.arange(48, dtype=np.uint8)[:, None] * np.ones((1, 48), np.uint8)
    assert all(crop.of(picture).shape == (96, 96) for crop in many)


def test_the_first_crop_is_what_inference_sees_and_flips_mirror():
    picture = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    whole, first, second, third = crops_of(0, 4, 20, 16)
    assert np.array_equal(whole.of(picture), picture)
    assert [crop.flip for crop in (first, second, third)] == [True, False, True]
    assert np.array_equal(first.of(picture), replace(first, flip=False).of(picture)[:, ::-1])


def test_a_crop_has_looks_of_different_cameras_and_all_are_used():
    looks = [looks_of(scene, crop, TRAIN_CAMERAS, 4) for scene in range(30) for crop in range(4)]
    assert all(len(set(names)) == 4 for names in looks) and {name for names in looks for name in names} == set(
        TRAIN_CAMERAS
    )
    assert looks_of(3, 1, TRAIN_CAMERAS, 4) == looks_of(3, 1, TRAIN_CAMERAS, 4) != looks_of(3, 2, TRAIN_CAMERAS, 4)
    assert looks_of(0, 0, (STYLE_CAMERA,), 1) == [STYLE_CAMERA]


def test_moments_are_those_of_the_autoencoder(encoders, scenes):
    phase = replace(get_phase("phase3", SMALL), crops=2)
    found = infrared_moments(scenes, phase, encoders)
    assert found.shape == (5, 2, 1, 8, 4, 4) and found.dtype == np.float16
    from v2ir_lib.world.cameras import expose

    grey = expose(scenes.radiance[3], STYLE_CAMERA, exposure_seed("five", 3))
    image = torch.from_numpy(grey).float()[None, None].expand(1, 3, -1, -1) / 127.5 - 1
    with torch.no_grad():
        expected = encoders.autoencoder.encode(image).latent_dist.parameters
    np.testing.assert_allclose(found[3, 0, 0], expected[0].numpy(), atol=4e-3)
    modes = condition_latents(scenes.visible, "visible", phase, encoders)
    assert modes.shape == (5, 2, 4, 4, 4)
    np.testing.assert_array_equal(modes, encoders.crop_moments(scenes.visible, slice(0, 5), 2)[:, :, :4])


def test_moments_are_made_once_and_again_for_another_autoencoder(encoders, scenes, monkeypatch):
    phase = replace(get_phase("phase3", SMALL), crops=2)
    first = infrared_moments(scenes, phase, encoders)
    calls = []
    real = Encoders.moments
    monkeypatch.setattr(Encoders, "moments", lambda self, *a: calls.append(a) or real(self, *a))
    assert np.array_equal(infrared_moments(scenes, phase, encoders), first) and not calls
    other = Encoders(SMALL, {})
    other.autoencoder = random_components(seed=1)["vae"].eval()
    assert not np.array_equal(infrared_moments(scenes, phase, other), first) and len(calls) == 1
    infrared_moments(scenes, replace(phase, crops=3), encoders)
    assert len(calls) == 2
    scenes.radiance[0] += 1
    infrared_moments(scenes, phase, encoders)
    assert len(calls) == 3


def test_phase_1_needs_no_pairs_and_one_prompt(encoders, scenes, monkeypatch):
    scenes.visible = None
    prompts = []
    monkeypatch.setattr(Encoders, "text", lambda self, texts: prompts.extend(texts) or torch.zeros(len(texts), 3, 8))
    monkeypatch.setattr(Scenes, "__len__", lambda self: 5)
    phase = replace(get_phase("phase1", SMALL), looks=2)
    data = load_data(scenes, phase, encoders)
    assert prompts == ["an infrared image"] and data.visible is data.segments is None
    assert data.infrared.shape == (5, 1, 2, 8, 4, 4) and data.text_states([0, 3]).shape == (2, 3, 8)


def test_phase_2_is_told_captions_and_segments(encoders, scenes, monkeypatch):
    prompts = []
    notes = annotation.Annotations([f"scene {i}" for i in range(5)], scenes.visible[:, ::2, ::2])
    monkeypatch.setattr(Encoders, "annotate", lambda self, visible, name: notes)
    monkeypatch.setattr(Encoders, "text", lambda self, texts: prompts.extend(texts) or torch.zeros(len(texts), 3, 8))
    phase = get_phase("phase2", SMALL)
    data = load_data(scenes, phase, encoders)
    assert prompts[4] == "turn the visible image of scene 4 into infrared" and len(prompts) == 5
    assert data.visible.shape == data.segments.shape == (5, phase.crops, 4, 4, 4)
    assert not np.array_equal(data.visible, data.segments)


def test_annotations_are_made_once_and_in_order(monkeypatch, tmp_path, scenes):
    calls = []

    def describe(captioner, processor, pictures, **_):
        calls.append(len(pictures))
        return [f"mean {picture.mean():.3f}" for picture in pictures]

    monkeypatch.setattr(annotation, "describe", describe)
    monkeypatch.setattr(annotation, "load_place", lambda *_: torch.nn.Identity())
    monkeypatch.setattr(annotation, "automatic_masks", lambda _, picture: picture[None, ..., 0] > 127)
    models = {part: tmp_path / part for part in ("captioner", "segmenter")}
    for folder in models.values():
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    notes = annotation.annotate(scenes.visible, SMALL, models)
    assert notes.captions == [f"mean {resize(picture, 16, 16).mean():.3f}" for picture in scenes.visible]
    assert notes.segments[:].shape == (5, 16, 16, 3) and len(notes.segments) == 5
    assert annotation.annotate(scenes.visible, SMALL, models).captions == notes.captions and len(calls) == 1
    (models["captioner"] / "config.json").write_text("{ }")  # another model
    annotation.annotate(scenes.visible, SMALL, models)
    assert len(calls) == 2


def test_phases_are_the_papers():
    for profile in (TINY, FULL):
        one, two, three = (get_phase(name, profile) for name in PHASES)
        assert one.trains == "lora" and two.trains == three.trains == "all"
        assert (one.in_channels, two.in_channels, three.in_channels) == (4, 12, 12)
        assert one.prompt == "an infrared image" and not one.needs_captions and one.dropout == 0
        assert two.prompt == three.prompt == "turn the visible image of {caption} into infrared"
        assert set(three.cameras).isdisjoint(two.cameras) and one.cameras == two.cameras
        assert len({one.pack, two.pack, three.pack}) == 3
    with pytest.raises(UserError, match="unknown phase 'phase4'"):
        get_phase("phase4", TINY)


def test_missing_stand_ins_are_named(tmp_path):
    with pytest.raises(UserError, match="autoencoder is missing"):
        prepare.stand_ins(tmp_path)
