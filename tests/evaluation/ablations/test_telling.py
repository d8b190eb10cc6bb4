"""What the UNet is told: placebos that are never true, maps drawn again without SAM, prompts by flag."""

from types import SimpleNamespace

import numpy as np
import pytest

from v2ir_lib.evaluation.ablations import telling
from v2ir_lib.evaluation.ablations.telling import others, prompts_of, redraw, true_regions
from v2ir_lib.vlum.segments import masks_of_labels, regions, render

TEMPLATE = "turn the visible image of {caption} into infrared"


@pytest.mark.parametrize("count", [2, 3, 8, 64, 513])
def test_a_placebo_gives_every_scene_another_ones(count):
    found = others(count)
    assert sorted(found) == list(range(count)) and (found != np.arange(count)).all()
    assert np.array_equal(found, others(count))


def random_masks(seed: int, count: int) -> np.ndarray:
    """Overlapping rectangles; some of the picture stays uncovered."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, 40, 48), bool)
    for mask in masks:
        top, left = rng.integers(0, 34), rng.integers(0, 40)
        mask[top : top + rng.integers(1, 20), left : left + rng.integers(1, 24)] = True
    return masks


@pytest.mark.parametrize("kind", ["edges", "union"])
def test_regions_redrawn_are_what_the_masks_would_give(kind):
    for seed, count in enumerate((1, 3, 9, 40)):
        masks = random_masks(seed, count)
        assert np.array_equal(redraw(render(masks, "regions"), kind), render(masks, kind))
    nothing = np.zeros((1, 8, 8), bool)
    assert redraw(render(nothing, "regions"), kind).max() == 0


def test_true_regions_are_objects_and_kinds_of_ground():
    instances, classes = np.zeros((1, 6, 8), np.uint8), np.zeros((1, 6, 8), np.uint8)
    classes[0, 3:] = 1  # road under sky, class 0
    instances[0, 2:4, :3], classes[0, 2:4, :3] = 1, 11
    instances[0, 2:4, 5:], classes[0, 2:4, 5:] = 2, 11  # two cars are two regions
    [drawn] = true_regions(SimpleNamespace(instances=instances, classes=classes))
    labels = np.array([[1] * 8] * 3 + [[2] * 8] * 3)
    labels[2:4, :3], labels[2:4, 5:] = 3, 4
    assert np.array_equal(drawn, regions(masks_of_labels(labels)))


@pytest.fixture
def pack(monkeypatch):
    """Three scenes of which BLIP says something else than the truth."""
    monkeypatch.setattr(telling, "captions", lambda *_, **__: ["one", "two", "three"])
    return SimpleNamespace(name="fake", visible=[0, 0, 0], captions=["true one", "true two", "true three"])


@pytest.mark.parametrize(
    "words, first",
    [
        ("none", ""),
        ("instruction", "turn the visible image into infrared"),
        ("captions", "turn the visible image of one into infrared"),
        ("true", "turn the visible image of true one into infrared"),
    ],
)
def test_prompts_by_flag(words, first, pack):
    encoders = SimpleNamespace(profile=None, models=None, device="cpu")
    found = prompts_of(words, pack, TEMPLATE, encoders)
    assert found[0] == first and len(found) == (3 if words in ("captions", "true") else 1)
    shuffled = prompts_of("shuffled", pack, TEMPLATE, encoders)
    own = prompts_of("captions", pack, TEMPLATE, encoders)
    assert sorted(shuffled) == sorted(own) and all(a != b for a, b in zip(shuffled, own, strict=True))
    assert "a street by day" in prompts_of("constant", pack, TEMPLATE, encoders)[0]


def test_maps_by_flag(monkeypatch):
    """Each kind of map is drawn from what it says: SAM's masks, another scene's, or the truth."""
    masks = [random_masks(seed, 6) for seed in (1, 2, 3)]
    drawn = np.stack([render(one, "regions") for one in masks])
    instances = np.stack([np.where(one[0], 7, 0) for one in masks[::-1]]).astype(np.uint8)
    pack = SimpleNamespace(name="fake", visible=[0, 0, 0], instances=instances, classes=np.zeros_like(instances))
    encoders = SimpleNamespace(annotate=lambda visible, name: SimpleNamespace(segments=drawn))
    monkeypatch.setattr(telling, "condition_latents", lambda pictures, name, *_: np.asarray(pictures))

    def maps(kind: str) -> np.ndarray:
        return telling.pictures_of(kind, pack, None, encoders)[1]

    assert np.array_equal(maps("regions"), drawn)
    for kind in ("edges", "union"):
        assert np.array_equal(maps(kind), np.stack([render(one, kind) for one in masks]))
    assert np.array_equal(maps("true"), true_regions(pack)) and not np.array_equal(maps("true"), drawn)
    assert np.array_equal(maps("shuffled"), drawn[others(3)])
    assert not any(np.array_equal(own, other) for own, other in zip(drawn, maps("shuffled"), strict=True))


def test_no_map_is_a_zero_latent_and_asks_no_segmenter(pack, monkeypatch):
    visible = np.ones((3, 2, 4, 6, 6), np.float16)
    asked = []
    monkeypatch.setattr(telling, "condition_latents", lambda pictures, name, *_: asked.append(name) or visible)
    _, maps = telling.pictures_of("none", pack, None, SimpleNamespace())
    assert maps.shape == visible.shape and not maps.any() and asked == ["fake-visible"]
