"""The segmenter's recipe: prompts, losses, thresholds and scores, on fake scenes."""

import numpy as np
import pytest
import torch
from scenes import CLASS_NAMES, fake_pack

from v2ir_lib.recipes import segmenter as recipe
from v2ir_lib.recipes import segmenter_score as score
from v2ir_lib.recipes.stage import Run, save_half
from v2ir_lib.vlum.segmenter import SamWrapper, automatic_masks

SMALL = recipe.SHAPE | dict(widths=(8, 8, 16, 16), blocks=1, prompt_dim=32, decoder_mlp_dim=32)


@pytest.fixture(scope="module")
def pack():
    return fake_pack(12, seed=2)


@pytest.fixture(scope="module")
def small_pack():
    """For what only counts pixels."""
    return fake_pack(12, seed=2, size=96)


@pytest.fixture
def wrapper():
    torch.manual_seed(0)
    return SamWrapper(**SMALL).eval()


def combined_of(pack, i):
    return (recipe.SHIFT * pack.instances[i].astype(int) + pack.classes[i])[::2, ::2]


def test_regions_are_objects_then_connected_parts():
    combined = np.zeros((4, 6), int)
    combined[:, 2] = 1  # parts class 0 into a left and a right part
    combined[1, 1] = recipe.SHIFT * 9 + 5
    combined[3, 5] = recipe.SHIFT * 9 + 5  # the same object, cut in two by what stands before it
    regions, objects = recipe.region_map(combined)
    assert objects == 1 and regions.max() == 3
    assert regions[1, 1] == regions[3, 5] == 0
    assert len({int(regions[0, 0]), int(regions[0, 2]), int(regions[0, 4])} | {0}) == 4


def test_prompts_lie_in_the_first_answer_and_near_the_second(pack):
    rng = np.random.default_rng(0)
    seconds = 0
    for i in range(len(pack.visible)):
        combined = combined_of(pack, i)
        points, masks, exist = recipe.draw_prompts(combined, 100, rng)
        assert exist[:, 0].all() and (points >= 0).all() and (points < 192).all()
        for (x, y), (under, other), (_, second) in zip(points, masks, exist, strict=True):
            assert under[int(y) // 2, int(x) // 2]
            assert other.any() == second
            if second:
                seconds += 1
                assert not (under & other).any()
                rows, columns = np.nonzero(other)
                assert np.hypot(rows - y / 2, columns - x / 2).min() < recipe.FARTHEST
                assert (combined[other] >= recipe.SHIFT).all(), "only an object may be meant from outside"
    assert seconds > 20


def test_prompts_of_an_empty_scene():
    points, masks, exist = recipe.draw_prompts(np.full((96, 96), 3), 5, np.random.default_rng(0))
    assert masks[:, 0].all() and not exist[:, 1].any() and points.shape == (5, 2)


def test_answers_and_losses_of_perfect_masks():
    target = torch.zeros(2, 2, 8, 8, dtype=torch.bool)
    target[0, 0, :3], target[0, 1, 5:], target[1, 0, :, :4] = True, True, True
    exist = torch.tensor([[True, True], [True, False]])
    perfect = 5.0 * (2 * target[:, [0, 1, 0]].float() - 1)
    said = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    mask_loss, said_loss, iou = recipe.prompt_losses(perfect, said, target, exist)
    assert said_loss == 0 and iou == 1
    worse = recipe.prompt_losses(-perfect, said, target, exist)
    assert 10 * mask_loss < worse[0] and worse[2] < 0.6 and worse[1] > 0.1


def test_only_the_best_mask_learns_much():
    target = torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    target[0, 0, :4] = True
    logits = torch.stack([2.0 * target[0, 0] - 1, torch.zeros(8, 8), -torch.ones(8, 8)])[None].requires_grad_()
    said = torch.zeros(1, 3)
    recipe.prompt_losses(logits, said, target, torch.tensor([[True, False]]))[0].backward()
    strength = logits.grad[0].abs().sum((1, 2))
    assert strength[0] > 4 * strength[1] > 0


def test_iou_is_counted_by_hand():
    masks, true = np.zeros((2, 4, 4), bool), np.zeros((1, 4, 4), bool)
    masks[0, :2], masks[1, :, :2], true[0, :3] = True, True, True
    assert score.best_iou(masks, true) == pytest.approx([8 / 12])
    assert score.best_iou(masks[1:], true) == pytest.approx([6 / 14])
    assert score.best_iou(masks[:0], true) == [0]


def test_loss_goes_down_and_every_part_learns(pack, wrapper):
    model = recipe.SegmenterTraining(wrapper.sam, len(CLASS_NAMES))
    batch = recipe.RegionData([pack]).batch(3, 4, torch.Generator().manual_seed(0))
    assert batch["pixels"].shape == (3, 3, 192, 192) and batch["masks"].shape == (3, 4, 2, 96, 96)
    assert batch["pixels"].max() > 100 and batch["classes"].max() < len(CLASS_NAMES)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    parts = []
    for _ in range(8):
        loss, part = model(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        parts.append(part)
    assert all(parts[-1][name] < parts[0][name] for name in ("mask", "said", "classes", "outline")), parts
    for part in (wrapper.sam.image_encoder, wrapper.sam.mask_decoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_batches_repeat_exactly(pack):
    data = recipe.RegionData([pack])
    one, two, other = (data.batch(2, 3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["pixels"], other["pixels"])


def test_saved_thresholds_and_masks_come_back(pack, wrapper, tmp_path):
    wrapper.register_to_config(pred_iou_thresh=-1.0, stability_score_thresh=0.0, points_per_side=4)
    save_half(wrapper, tmp_path / "first")
    first = score.load_segmenter(tmp_path / "first")
    save_half(first, tmp_path / "second")
    second = score.load_segmenter(tmp_path / "second")
    assert recipe.thresholds(second) == recipe.thresholds(wrapper) and second.config.points_per_side == 4
    mean = wrapper.sam.pixel_mean
    assert torch.equal(second.sam.pixel_mean, mean) and mean.mean() > 100, "not in the file, so made anew"
    one, two = (automatic_masks(w, pack.visible[0]) for w in (first, second))
    assert len(one) and np.array_equal(one, two)


def test_the_imitated_filter_keeps_the_generators_masks(pack, wrapper):
    image = pack.visible[1]
    with torch.no_grad():  # random, but sharp and sure of itself, so that something passes
        wrapper.sam.mask_decoder.iou_prediction_head.layers[-1].bias += 0.6
        for network in wrapper.sam.mask_decoder.output_hypernetworks_mlps:
            network.layers[-1].weight *= 100
    found = score.candidates(wrapper, image, 5)
    assert len(found["masks"]) == 75
    middle = float(np.median(found["said"]))
    wrapper.register_to_config(
        points_per_side=5, pred_iou_thresh=middle, stability_score_thresh=0.05, box_nms_thresh=0.9
    )
    kept = found["masks"][score._kept(found, middle, 0.05, 0.9)]
    real = automatic_masks(wrapper, image)
    assert 0 < len(real) < 75
    assert {mask.tobytes() for mask in kept} == {mask.tobytes() for mask in real}


def test_thresholds_part_good_masks_from_bad(pack, wrapper, monkeypatch):
    """True masks that the model is sure of among rubbish that it is not: the rubbish must go, the truth stay."""

    def oracle(segmenter, image, side):
        i = next(i for i, picture in enumerate(pack.visible) if np.array_equal(image, picture))
        scene = pack.instances[i], pack.classes[i]
        true = np.concatenate([score.true_objects(*scene)[0], score.true_stuff(*scene)])
        rubbish = np.random.default_rng(0).random((100, *image.shape[:2])) < 0.5
        corners = np.arange(len(true) + 100, dtype=np.float32) * 10  # boxes apart, so that none hides another
        return dict(
            masks=np.concatenate([true, rubbish]),
            said=np.array([0.8] * len(true) + [0.5] * 100, np.float32),
            stability=np.ones(len(true) + 100, np.float32),
            boxes=np.stack([corners, corners, corners + 5, corners + 5], axis=1),
        )

    monkeypatch.setattr(score, "candidates", oracle)
    setting = score.choose_thresholds(wrapper, pack, limit=2, sides=(12, 16))
    assert setting["points_per_side"] == 12, "a denser grid that is no better is not taken"
    assert 0.5 <= setting["pred_iou_thresh"] < 0.8


def test_measure_is_one_for_the_truth_and_trivial_for_nothing(small_pack, monkeypatch):
    pack = small_pack
    monkeypatch.setattr("v2ir_lib.world.CLASSES", CLASS_NAMES)
    places = iter(range(len(pack.visible)))

    def truth(image):
        i = next(places)
        things = [pack.instances[i] == n for n in range(1, pack.instances[i].max() + 1)]
        return np.array([*things, *((pack.classes[i] == n) & (pack.instances[i] == 0) for n in range(4))])

    perfect = score.measure(None, pack, generate=truth)
    assert perfect["mean_best_iou"] == perfect["found"] == perfect["stuff"] == 1.0
    assert set(perfect["by_class"]) <= {"person", "car", "bus", "animal"}
    nothing = score.measure(None, pack, limit=6, generate=lambda image: np.zeros((0, 96, 96), bool))
    assert nothing["mean_best_iou"] == nothing["masks_per_image"] == 0 and nothing["scenes"] == 6
    cells = score.measure(None, pack, generate=lambda image: score.grid_cells(96, 96, 12))
    assert cells["masks_per_image"] == 144
    assert 0.05 < cells["mean_best_iou"] <= cells["grid"] < 0.6
    assert perfect["objects"] == sum((np.bincount(i.ravel())[1:] > 30).sum() for i in pack.instances)


def test_grid_cells_tile_the_picture():
    cells = score.grid_cells(192, 160, 6)
    assert cells.shape == (36, 192, 160) and (cells.sum(0) == 1).all()


def test_the_whole_stage_runs_and_writes_its_folder(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "SHAPE", SMALL)
    monkeypatch.setattr(recipe, "BATCH", 2)
    monkeypatch.setattr(recipe, "choose_thresholds", lambda w, p, sides: score.choose_thresholds(w, p, 1, (4,)))
    monkeypatch.setattr(recipe, "draw_masks", lambda f, p, path: score.draw_masks(f, p, path, 1))
    monkeypatch.setattr(recipe, "measure", lambda f, p, limit: score.measure(f, p, 1))
    run = Run(tmp_path / "models", tmp_path / "results", tmp_path / "work", steps=2, device="cpu")
    run.load = lambda name, limit: pack
    record = recipe.train_segmenter(run)
    assert score.load_segmenter(run.models / "segmenter").config.points_per_side == 4
    assert run.figure("segmenter").stat().st_size > 1e4
    assert record["notes"]["validation"]["scenes"] == 1
