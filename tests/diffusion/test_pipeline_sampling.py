"""The pipeline with other samplers, orders, sizes, tiles and several seeds: what changes, and what does not."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from v2ir_lib.diffusion import pipeline as module
from v2ir_lib.diffusion.guidance import guided
from v2ir_lib.diffusion.pipeline import DiffV2IRPipeline, pipeline_settings
from v2ir_lib.diffusion.settings import SAMPLERS, Sampling
from v2ir_lib.diffusion.translation import translate_seeds
from v2ir_lib.errors import UserError
from v2ir_lib.profiles import TINY, Guidance


def translated(pipeline, picture, scales=(7.5, 1.5, 1.5), steps=3, **how):
    """The picture as integers, and the evaluations it took."""
    scales = dict(zip(("s_text", "s_visible", "s_segments"), scales, strict=True))
    done = pipeline(picture, caption="x", segments=[picture], steps=steps, how=Sampling(**how), **scales)
    return np.asarray(done.images[0]).astype(int), done.evaluations[0]


def difference(one, other) -> int:
    return np.abs(one - other).max()


def test_the_defaults_are_the_pipeline_as_it_was(pipeline, photograph):
    plain = pipeline(photograph, caption="x", steps=3)
    same = pipeline(photograph, caption="x", steps=3, how=Sampling(sampler="euler-ancestral", order="paper"))
    assert plain.images[0].tobytes() == same.images[0].tobytes() and plain.evaluations == [2 * 3]


def test_each_scale_is_its_own(pipeline, photograph, monkeypatch):
    """Three scales that differ, given or the model's own, arrive in Eq. 2 under their names."""
    asked = []
    monkeypatch.setattr(module, "guided", lambda **given: asked.append(given) or guided(**given))
    scales = dict(s_text=3.0, s_visible=2.0, s_segments=1.5)
    own = DiffV2IRPipeline(**pipeline.components, image_size=48, reading_size=48, **scales)
    for model, given in ((pipeline, scales), (own, {}), (own, {"s_visible": 1.0})):
        model(photograph, caption="x", segments=[photograph], steps=2, **given)
    found = [{name: one[name] for name in scales} for one in asked]
    assert found == [scales, scales, scales | {"s_visible": 1.0}]


def test_a_profiles_scales_are_the_models_own():
    guidance = Guidance(s_text=3.0, s_visible=2.0, s_segments=1.5, steps=7)
    settings = pipeline_settings(replace(TINY, guidance=guidance))
    assert {name: settings[name] for name in vars(guidance)} == vars(guidance)


def test_every_sampler_makes_its_own_picture(pipeline, photograph):
    made = {name: translated(pipeline, photograph, sampler=name) for name in SAMPLERS}
    assert len({picture.tobytes() for picture, _ in made.values()}) == len(SAMPLERS)
    assert {name: count for name, (_, count) in made.items()} == {name: 9 for name in SAMPLERS} | {"heun": 15}


def test_three_branches_make_the_picture_that_four_make(pipeline, photograph):
    four, three = (translated(pipeline, photograph, skip=skip) for skip in (False, True))
    assert (four[1], three[1]) == (12, 9)
    assert difference(four[0], three[0]) <= 1, "batches of 4 and of 3 round differently, and no more"


def test_orders_agree_where_the_scales_do(pipeline, photograph):
    paper, released = (translated(pipeline, photograph, order=order)[0] for order in ("paper", "released"))
    assert difference(paper, released) <= 1
    scales = (7.5, 1.0, 4.0)
    paper, released = (translated(pipeline, photograph, scales, order=order)[0] for order in ("paper", "released"))
    assert difference(paper, released) > 1


def test_slices_are_the_whole(pipeline, photograph):
    whole, sliced = (translated(pipeline, photograph, slice=rows) for rows in (None, 2))
    assert difference(whole[0], sliced[0]) <= 1 and whole[1] == sliced[1]


@pytest.mark.parametrize("how", [dict(guidance_from=5.0), dict(schedule="linear"), dict(rescale=0.7)], ids=str)
def test_what_changes_the_guidance_changes_the_picture(pipeline, photograph, how):
    plain, other = translated(pipeline, photograph), translated(pipeline, photograph, **how)
    assert difference(plain[0], other[0]) > 1
    assert other[1] < plain[1] or how == dict(rescale=0.7)  # fewer branches where nothing is guided


def test_a_tile_as_large_as_the_picture_changes_nothing(pipeline, photograph):
    square = np.asarray(Image.fromarray(photograph).resize((48, 48)))
    plain, tiled = (translated(pipeline, square, tile=tile) for tile in (None, 48))
    assert difference(plain[0], tiled[0]) == 0 and plain[1] == tiled[1]


def test_large_pictures_in_tiles_at_their_own_size(pipeline, photograph):
    large = np.asarray(Image.fromarray(photograph).resize((112, 64)))
    done = pipeline(large, caption="x", segments=[large], steps=2, how=Sampling(tile=48, overlap=16))
    assert done.images[0].size == (112, 64) and np.asarray(done.images[0]).std() > 0
    assert pipeline.working_size(large, Sampling(tile=48, overlap=16)) == (64, 112)
    assert done.evaluations == [2 * 2 * (2 * 3)]  # branches, steps, tiles
    seen = []
    hook = pipeline.unet.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape[-2:])))
    pipeline(large, caption="x", segments=[large], steps=2, how=Sampling(tile=48, overlap=16))
    hook.remove()
    assert set(seen) == {(12, 12)}, "the UNet sees the size of its training"


def test_sizes_other_than_trainings(pipeline, photograph):
    assert pipeline.working_size(photograph, Sampling(size=96)) == (80, 128)
    assert translated(pipeline, photograph, size=96)[0].shape == photograph.shape[:2]
    assert difference(translated(pipeline, photograph, size=96)[0], translated(pipeline, photograph)[0]) > 1


@pytest.mark.parametrize("tile, overlap", [(40, 16), (48, 10)])
def test_tiles_that_do_not_fit_the_networks(pipeline, photograph, tile, overlap):
    with pytest.raises(UserError, match="a tile must be a multiple of 16, an overlap of 4"):
        pipeline(photograph, caption="x", segments=[photograph], how=Sampling(tile=tile, overlap=overlap))


def test_several_seeds_have_a_mean_and_a_spread(pipeline, photograph):
    spread = translate_seeds(pipeline, photograph, [3, 4, 5], steps=2, batch_size=3)
    singly = [pipeline(photograph, seed=seed, steps=2) for seed in (3, 4, 5)]
    pictures = np.stack([np.asarray(one.images[0], dtype=float) for one in singly])
    assert np.abs(spread.mean - pictures.mean(0)).max() <= 1
    assert np.abs(spread.deviation - pictures.std(0, ddof=1)).max() <= 1 and spread.deviation.max() > 1
    assert spread.translations.captions == [singly[0].captions[0]] * 3
    assert spread.translations.prompts == [singly[0].prompts[0]] * 3
    with pytest.raises(ValueError, match="at least two seeds"):
        translate_seeds(pipeline, photograph, [3])
