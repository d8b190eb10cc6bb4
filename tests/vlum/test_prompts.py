"""The paper's template, and prompts that are too long."""

import warnings

import pytest
from conftest import random_tokenizer

from v2ir_lib.profiles import TINY
from v2ir_lib.vlum.prompts import TEMPLATE, fit_prompt, make_prompt


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
