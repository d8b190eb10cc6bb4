"""The captioner's recipe: what its parts promise, on fake scenes."""

import numpy as np
import pytest
import torch
from scenes import CLASS_NAMES, attributes_of, fake_pack

from v2ir_lib.profiles import TINY
from v2ir_lib.recipes import captioner as recipe
from v2ir_lib.recipes import captioner_score
from v2ir_lib.recipes.augment import augment
from v2ir_lib.recipes.stage import Run, save_half


@pytest.fixture(scope="module")
def pack():
    return fake_pack(48, seed=1)


@pytest.fixture(scope="module")
def tokenizer(pack):
    return recipe.build_tokenizer(pack.captions, max_length=48)


def small(tokenizer):
    torch.manual_seed(0)
    return recipe.build_captioner(tokenizer, patch=32, width=32, depth=1, words=1)


def test_tokenizer_is_lossless_on_the_captions_words(pack, tokenizer):
    ids = tokenizer(pack.captions).input_ids
    assert all(tokenizer.unk_token_id not in row for row in ids)
    words = [recipe.words_of(text) for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    assert words == [recipe.words_of(text) for text in pack.captions]
    assert all(len(row) == 2 + len(recipe.words_of(text)) for row, text in zip(ids, pack.captions, strict=True))


def test_tokenizer_spells_words_that_it_does_not_know_and_truncates(tokenizer):
    assert tokenizer.unk_token_id not in tokenizer("a zebra crosses").input_ids
    assert len(tokenizer("a " * 100, truncation=True).input_ids) == 48


def test_tiny_captioner_has_its_size_and_special_tokens(tokenizer):
    captioner = recipe.build_captioner(tokenizer)
    assert 1.2e6 < sum(p.numel() for p in captioner.parameters()) < 1.8e6
    text = captioner.config.text_config
    names = ("bos_token_id", "eos_token_id", "sep_token_id", "pad_token_id")
    expected = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id)
    assert tuple(getattr(text, name) for name in names) == expected
    assert text.vocab_size == len(tokenizer)


def test_cosine_filters_are_an_orthogonal_basis():
    flat = recipe.cosine_filters(128, 16).flatten(1)
    angles = torch.nn.functional.normalize(flat) @ torch.nn.functional.normalize(flat).T
    grey = [0, *(i for i in range(128) if abs(flat[i, :256] - flat[i, 256:512]).max() < 1e-7)]  # brightness filters
    assert len(grey) > 40
    torch.testing.assert_close(angles[grey][:, grey], angles.new_tensor(np.equal.outer(grey, grey)), atol=1e-4, rtol=0)


def test_fused_attention_is_blips(tokenizer):
    captioner = small(tokenizer).eval()
    layer = captioner.vision_model.encoder.layers[0].self_attn
    hidden = torch.randn(2, 37, 32)
    torch.testing.assert_close(recipe.fused_attention(layer, hidden)[0], layer(hidden)[0], atol=1e-6, rtol=1e-5)


def test_augment_moves_picture_and_regions_together(pack):
    ramp = torch.arange(192).repeat(192, 1)  # both say their column, so they must agree after any move
    visible = (ramp[None, ..., None].expand(8, -1, -1, 3) // 2 + 60).to(torch.uint8)
    image, regions = augment(visible, ramp.expand(8, -1, -1), torch.Generator().manual_seed(3))
    assert image.shape == (8, 3, 192, 192) and regions.shape == (8, 96, 96)
    assert 0 <= image.min() and image.max() <= 1 and regions.dtype == torch.int64
    slope = regions[:, 48, -1] - regions[:, 48, 0]
    assert (slope < 0).any() and (slope > 0).any(), "some are mirrored and some are not"
    for picture, region in zip(image, regions, strict=True):
        level = torch.nn.functional.avg_pool2d(picture, 2).mean(dim=(0, 1))
        assert np.corrcoef(level.numpy(), region[48].numpy())[0, 1] > 0.99
    assert (slope.abs() > 0.86 * 191).all() and (slope.abs() < 191).any()


def test_present_classes_are_those_in_each_patch():
    classes = torch.zeros(1, 8, 8, dtype=torch.int64)
    classes[0, 5, 2] = 3  # the lower left of four patches
    present = recipe.present_classes(classes, side=2, class_count=4)
    assert present.shape == (1, 4, 4)
    assert present[0, :, 0].tolist() == [1, 1, 1, 1] and present[0, :, 3].tolist() == [0, 0, 1, 0]


def test_an_epoch_sees_every_scene_once_and_repeats_exactly(pack, tokenizer):
    data = recipe.CaptionData([pack, pack], tokenizer, seed=5)
    first = [data._place(i) for i in range(96)]
    assert sorted(first) == list(range(96)) and first != list(range(96))
    assert [data._place(96 + i) for i in range(96)] != first
    again = recipe.CaptionData([pack, pack], tokenizer, seed=5)
    assert [again._place(i) for i in (200, 3)] == [data._place(200), first[3]]
    one, two = (d.batch(2, 4, torch.Generator().manual_seed(1)) for d in (data, again))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_loss_goes_down_and_every_part_learns(pack, tokenizer):
    data = recipe.CaptionData([pack], tokenizer)
    model = recipe.CaptionerTraining(small(tokenizer), len(data.labels.questions), len(CLASS_NAMES))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = data.batch(0, 16, torch.Generator().manual_seed(0))
    parts = []
    for _ in range(12):
        loss, part = model(batch)
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimiser.step()
        parts.append(part)
    assert all(parts[-1][name] < 0.9 * parts[0][name] for name in parts[0]), (parts[0], parts[-1])


def test_padding_is_not_learned(pack, tokenizer):
    data = recipe.CaptionData([pack], tokenizer)
    model = recipe.CaptionerTraining(small(tokenizer), len(data.labels.questions), len(CLASS_NAMES))
    batch = data.batch(0, 4, torch.Generator().manual_seed(0))
    longer = dict(batch)
    for key in ("input_ids", "attention_mask"):
        longer[key] = torch.nn.functional.pad(batch[key], (0, 5))
    with torch.no_grad():
        assert model(batch)[1]["words"] == pytest.approx(model(longer)[1]["words"], abs=1e-5)


def test_saved_folder_loads_and_writes_the_same_captions(pack, tokenizer, tmp_path):
    captioner = small(tokenizer).eval()
    recipe.CaptionerTraining(captioner, 3, 3)  # its fused attention must not hinder saving
    save_half(captioner, tmp_path / "captioner")
    recipe.build_processor(tokenizer, 192).save_pretrained(tmp_path / "captioner")
    assert not list(tmp_path.rglob("*.bin"))
    again, processor = captioner_score.load_captioner(tmp_path / "captioner")
    assert len(processor.tokenizer) == len(tokenizer) and processor.tokenizer.model_max_length == 48
    pixels = processor.image_processor(images=list(pack.visible[:2]), return_tensors="pt").pixel_values
    direct = torch.from_numpy(pack.visible[:2]).permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(pixels, recipe.normalise(direct), atol=1e-5, rtol=0)
    with torch.no_grad():
        for name, value in captioner.half().float().named_parameters():
            assert torch.equal(dict(again.named_parameters())[name], value), name
    models = (captioner, again)
    texts = [captioner_score.write_captions(model, processor, pack.visible[:3], tokens=12) for model in models]
    assert texts[0] == texts[1] and len(texts[0]) == 3


def test_tokenizer_and_length_fit_the_worlds_longest_caption():
    captions = pytest.importorskip("v2ir_lib.world.captions")
    objects = {kind: 4 for kind in ("person", "car", "bus", "truck", "bicycle", "animal", "tree")}
    longest = dict(time="day", weather="overcast", season="winter", setting="residential", viewpoint="driving")
    text = captions.caption_of({**longest, "objects": objects, "traffic": True})
    tokenizer = recipe.build_tokenizer([text], TINY.caption_tokens)
    ids = tokenizer(text, truncation=True).input_ids
    assert len(ids) <= TINY.caption_tokens
    read = captions.attributes_of(tokenizer.decode(ids, skip_special_tokens=True))
    assert {key: read[key] for key in longest} == longest and set(read["objects"]) == set(objects)


def test_measure_is_one_for_the_truth_and_trivial_for_a_constant(pack):
    oracle = captioner_score.measure(None, pack, attributes_of=attributes_of, write=lambda visible: pack.captions)
    assert oracle["mean"] == oracle["true_captions"] == oracle["objects_f1"] == 1.0
    assert set(oracle["by_attribute"]) == {"time", "setting", "person", "car", "bus", "animal"}
    silent = [""] * len(pack.captions)
    nothing = captioner_score.measure(None, pack, attributes_of=attributes_of, write=lambda visible: silent)
    assert nothing["by_attribute"]["time"] == 0 and nothing["objects_f1"] == 0
    constant = captioner_score.majority(pack.specs)
    shares = [np.mean([spec["attributes"]["time"] == time for spec in pack.specs]) for time in ("day", "night")]
    assert oracle["majority"]["by_attribute"]["time"] == pytest.approx(max(shares))
    assert oracle["majority"] == captioner_score.score([constant] * len(pack.specs), pack.specs)
    assert nothing["mean"] < oracle["majority"]["mean"] < 0.9


def test_the_whole_stage_runs_and_writes_its_folder(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "BATCH", 4)
    monkeypatch.setattr(recipe, "measure", lambda f, p: captioner_score.measure(f, p, 2, attributes_of))
    run = Run(tmp_path / "models", tmp_path / "results", tmp_path / "work", steps=2, device="cpu")
    run.load = lambda name, limit: pack
    record = recipe.train_captioner(run)
    assert (tmp_path / "models/captioner/model.safetensors").stat().st_size < 4e6
    assert run.figure("captioner").stat().st_size > 1e4
    assert record["notes"]["validation"]["scenes"] == 2
