"""The pipeline: any picture in, one channel of its size out; seeds, batches, prompts, trajectory."""

import numpy as np
import pytest
from PIL import Image

from v2ir_lib.errors import UserError


def test_every_kind_of_picture(pipeline, photograph):
    picture = Image.fromarray(photograph)
    kinds = [picture.convert(mode) for mode in ("RGB", "L", "P", "RGBA", "LA", "1", "CMYK")]
    kinds += [Image.fromarray(photograph[..., 0].astype(np.uint16) * 200)]
    kinds += [photograph, photograph[:20], photograph[:, :17]]
    done = pipeline(kinds, steps=2, caption="x")
    for kind, found in zip(kinds, done.images, strict=True):
        size = kind.size if isinstance(kind, Image.Image) else kind.shape[1::-1]
        assert found.mode == "L" and found.size == size
        assert np.asarray(found).std() > 0
    assert len(done.captions) == len(done.prompts) == len(done.segments) == len(done.seeds) == len(kinds)


def test_same_seed_same_bytes_other_seed_others(pipeline, photograph):
    first, again, other = (pipeline(photograph, seed=seed).images[0].tobytes() for seed in (3, 3, 4))
    assert first == again != other


def test_a_batch_is_its_pictures(pipeline, photograph):
    """Different sizes, captions and seeds together give what each gives alone, to a grey level."""
    crops = [photograph, photograph[:, :40], photograph[::-1].copy()]
    words = ["a street", "two people", "a car"]
    together = pipeline(crops, caption=words, seed=[5, 6, 7])
    for i, crop in enumerate(crops):
        alone = pipeline(crop, caption=words[i], seed=5 + i)
        difference = np.asarray(alone.images[0]).astype(int) - np.asarray(together.images[i])
        assert np.abs(difference).max() <= 1
        assert alone.prompts[0] == together.prompts[i]


def test_conditions_reach_the_result(pipeline, photograph):
    plain = pipeline(photograph, caption="a street", segments=[photograph]).images[0].tobytes()
    assert plain != pipeline(photograph, caption="two people", segments=[photograph]).images[0].tobytes()
    assert plain != pipeline(photograph, caption="a street", segments=[255 - photograph]).images[0].tobytes()
    assert plain != pipeline(255 - photograph, caption="a street", segments=[photograph]).images[0].tobytes()
    assert plain != pipeline(photograph, caption="a street", segments=[photograph], s_text=4).images[0].tobytes()


def test_prompts(pipeline, photograph):
    own = pipeline(photograph, prompt="an infrared image", steps=2)
    assert own.prompts == ["an infrared image"] and own.captions == [None]
    template = pipeline(photograph, prompt="{caption}, seen in infrared", caption="a street", steps=2)
    assert template.prompts == ["a street, seen in infrared"] and template.captions == ["a street"]
    blip = pipeline(photograph, steps=2)
    assert blip.prompts == [f"turn the visible image of {blip.captions[0]} into infrared"]
    with pytest.warns(UserWarning, match="cut to the 94"):
        long = pipeline(photograph, prompt="abcde " * 40, steps=2)
    assert long.prompts == [("abcde " * 40)[: len(long.prompts[0])]] and len(long.prompts[0]) < 130


def test_segments_are_coloured_regions_and_not_their_union(pipeline, photograph):
    [drawn] = pipeline(photograph, caption="x", steps=2).segments
    assert drawn.dtype == np.uint8 and drawn.shape == (30, 48, 3)
    assert (drawn.max(axis=2) > drawn.min(axis=2)).any()


def test_trajectory_ends_at_the_result(pipeline, photograph):
    square = np.ascontiguousarray(photograph[:, :40])
    square = np.asarray(Image.fromarray(square).resize((48, 48)))
    done = pipeline(square, steps=4, trajectory=True)
    assert len(done.trajectories[0]) == 4
    last = np.asarray(done.trajectories[0][-1]).astype(int)
    assert np.abs(last - np.asarray(done.images[0])).max() <= 1
    assert pipeline(square, steps=2).trajectories is None


def test_progress_is_told_of_every_step(pipeline, photograph):
    seen = []
    pipeline(photograph, steps=4, progress=seen.append)
    assert seen == [0, 1, 2, 3]


def test_bad_calls(pipeline, photograph):
    with pytest.raises(UserError, match="at least 16"):
        pipeline(photograph[:3])
    with pytest.raises(ValueError, match="one for each"):
        pipeline([photograph, photograph], seed=[1])
