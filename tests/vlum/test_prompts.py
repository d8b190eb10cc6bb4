"""The paper's template, and prompts that are too long."""

import warnings

import pytest
from random_models import random_tokenizer

from v2ir_lib.diffusion.components import encode_text
from v2ir_lib.profiles import TINY
from v2ir_lib.vlum.prompts import TEMPLATE, fit_prompt, make_prompt, prompt_tokens


def test_template():
    assert make_prompt("a street at night") == "turn the visible image of a street at night into infrared"
    assert make_prompt("ignored", "an infrared image") == "an infrared image"
    assert make_prompt("a {curly} one", "{caption} {x}") == "a {curly} one {x}"
    assert TINY.prompt == TEMPLATE


def test_a_prompt_that_fits_is_left_alone():
    tokenizer = random_tokenizer(limit=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_prompt("abcd efgh", tokenizer) == "abcd efgh"  # 8 letters, start and end


@pytest.mark.parametrize("prompt, kept", [("abcd efgh ij", "abcd efgh"), ("abcd efghij", "abcd"), ("abcdefghij", 8)])
def test_a_long_prompt_is_cut_after_the_last_word_that_fits(prompt, kept):
    tokenizer = random_tokenizer(limit=10)
    with pytest.warns(UserWarning, match="10 tokens cut to the 8 that fit"):
        found = fit_prompt(prompt, tokenizer)
    assert found == (kept if isinstance(kept, str) else prompt[:kept])
    assert len(tokenizer(found).input_ids) <= 10


def test_what_the_text_encoder_sees():
    tokenizer = random_tokenizer(limit=10)
    letters = tokenizer.convert_tokens_to_ids
    seen = prompt_tokens("ab cde", tokenizer)
    assert seen.tokens == ["a", "b</w>", "c", "d", "e</w>"] and seen.ids == letters(seen.tokens)
    assert seen.cut == [False] * 5 and (seen.limit, seen.read, seen.lost) == (10, "ab cde", "")
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert seen.read_ids == [start, *seen.ids, end, *[tokenizer.pad_token_id] * 3]


@pytest.mark.parametrize(
    "prompt, kept, lost", [("abcd efgh ij", 8, "ij"), ("abcd efghij", 4, "efghij"), ("abcdefghij", 8, "ij")]
)
def test_the_tokens_beyond_the_limit_are_marked(prompt, kept, lost):
    """A word that fits only in part is cut whole, because the encoder is not given its first half."""
    tokenizer = random_tokenizer(limit=10)
    seen = prompt_tokens(prompt, tokenizer)
    assert seen.cut == [number >= kept for number in range(10)] and seen.lost == lost
    assert len(seen.tokens) == len(seen.ids) == 10 and len(seen.read_ids) == 10
    with pytest.warns(UserWarning, match=rf"not read: {lost}\)$"):
        assert fit_prompt(prompt, tokenizer) == seen.read


def test_what_is_said_to_be_read_is_what_is_encoded(pipeline):
    """The text encoder's own input, caught on its way in."""
    given = []
    hook = pipeline.text_encoder.register_forward_pre_hook(
        lambda _, args, kwargs: given.append(args[0] if args else kwargs["input_ids"]), with_kwargs=True
    )
    for prompt in ("a street", "a street at night " * 9):
        seen = prompt_tokens(prompt, pipeline.tokenizer)
        encode_text(pipeline.tokenizer, pipeline.text_encoder, [seen.read])
        assert given.pop().tolist() == [seen.read_ids]
        assert any(seen.cut) == (len(prompt) > 94)
    hook.remove()
