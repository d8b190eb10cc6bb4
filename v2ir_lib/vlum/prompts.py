"""From a caption to the prompt that the text encoder reads."""

import warnings

from transformers import CLIPTokenizer

TEMPLATE = "turn the visible image of {caption} into infrared"


def make_prompt(caption: str, template: str = TEMPLATE) -> str:
    """The template with the caption in it; a template without `{caption}` is the prompt itself. Other braces stay."""
    return template.replace("{caption}", caption)


def fit_prompt(prompt: str, tokenizer: CLIPTokenizer) -> str:
    """What the text encoder can read of a prompt: all, or, with a warning, the words that fit.

    The limit is `tokenizer.model_max_length`, start and end tokens included.
    """
    limit = tokenizer.model_max_length
    room = limit - tokenizer.num_special_tokens_to_add()
    spans = tokenizer(prompt, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False)
    spans = spans["offset_mapping"]
    if len(spans) <= room:
        return prompt
    warnings.warn(f"prompt of {len(spans)} tokens cut to the {room} that fit: {prompt[:60]}…", stacklevel=2)
    end = spans[room - 1][1]
    if prompt[end - 1 : end + 1].isalnum():  # in the middle of a word: its first half would be other tokens
        return prompt[:end].rsplit(maxsplit=1)[0]
    return prompt[:end]
