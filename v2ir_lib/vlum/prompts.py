"""From a caption to the prompt that the text encoder reads."""

import warnings
from dataclasses import dataclass

from transformers import CLIPTokenizer

TEMPLATE = "turn the visible image of {caption} into infrared"


def make_prompt(caption: str, template: str = TEMPLATE) -> str:
    """The template with the caption in it; a template without `{caption}` is the prompt itself. Other braces stay."""
    return template.replace("{caption}", caption)


@dataclass(frozen=True)
class PromptTokens:
    """A prompt as the tokenizer divides it, start and end token left out, and how much of it can be read."""

    tokens: list[str]  # as the vocabulary spells them; "</w>" ends a word
    ids: list[int]
    cut: list[bool]  # beyond the limit; a word that does not fit whole is cut whole
    limit: int  # tokens that the text encoder takes, start and end included
    read: str  # the part of the prompt that fits
    lost: str  # the rest
    read_ids: list[int]  # all that the text encoder is given, `limit` numbers: start, `read`, end, padding


def prompt_tokens(prompt: str, tokenizer: CLIPTokenizer) -> PromptTokens:
    """What the text encoder sees of a prompt: its tokens, their numbers, and which of them the limit cuts off.

    The limit is `tokenizer.model_max_length`, start and end tokens included.
    """
    limit = tokenizer.model_max_length
    room = limit - tokenizer.num_special_tokens_to_add()
    found = tokenizer(prompt, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False)
    ids, spans = found["input_ids"], found["offset_mapping"]
    read = prompt if len(ids) <= room else _whole_words(prompt, spans[room - 1][1])
    cut = [number >= room or span[1] > len(read) for number, span in enumerate(spans)]
    read_ids = tokenizer(read, padding="max_length", truncation=True, max_length=limit)["input_ids"]
    lost = prompt[len(read) :].strip()
    return PromptTokens(tokenizer.convert_ids_to_tokens(ids), ids, cut, limit, read, lost, read_ids)


def fit_prompt(prompt: str, tokenizer: CLIPTokenizer) -> str:
    """What the text encoder can read of a prompt: all, or, with a warning that names the rest, the words that fit."""
    seen = prompt_tokens(prompt, tokenizer)
    if any(seen.cut):
        room = seen.limit - tokenizer.num_special_tokens_to_add()
        warnings.warn(
            f"prompt of {len(seen.ids)} tokens cut to the {room} that fit: {prompt[:60]}… (not read: {seen.lost[:60]})",
            stacklevel=2,
        )
    return seen.read


def _whole_words(prompt: str, end: int) -> str:
    """The prompt up to `end`, and not into the middle of a word: its first half would be other tokens."""
    if prompt[end - 1 : end + 1].isalnum():
        return prompt[:end].rsplit(maxsplit=1)[0]
    return prompt[:end]
