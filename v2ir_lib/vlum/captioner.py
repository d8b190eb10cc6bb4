"""BLIP says what is in a picture (paper §3.4): it names what may be warm, and season, weather and light."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from transformers import BlipForConditionalGeneration, BlipProcessor

from v2ir_lib.errors import UserError
from v2ir_lib.weights import load_model

MIN_TOKENS = 5  # of a sampled caption, as in the released code; its longest has 20


def load_captioner(folder: str | Path, device: str = "cpu") -> BlipForConditionalGeneration:
    """BLIP from a local folder of safetensors, float32."""
    return load_model(BlipForConditionalGeneration, folder, device)


def load_captioner_processor(folder: str | Path) -> BlipProcessor:
    """BLIP's image processor and tokenizer, from the same folder or their own; `UserError` where one is missing."""
    folder = Path(folder)
    if not ((folder / "processor_config.json").is_file() or (folder / "preprocessor_config.json").is_file()):
        raise UserError(f"model file missing: {folder / 'processor_config.json'}")
    if not ((folder / "tokenizer.json").is_file() or (folder / "vocab.txt").is_file()):
        raise UserError(f"model file missing: {folder / 'tokenizer.json'}")
    try:
        return BlipProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever the reader makes of a damaged file
        raise UserError(f"cannot read the processor in {folder}: {' '.join(str(error).split())[:200]}") from None


@torch.no_grad()
def describe(
    captioner: BlipForConditionalGeneration,
    processor: BlipProcessor,
    images: Sequence[np.ndarray],
    *,
    max_tokens: int = 48,
    beams: int = 3,
    nucleus: float | None = None,
    seed: int = 0,
) -> list[str]:
    """One caption for each picture (uint8 (H, W, 3), any size: the processor resizes).

    Beam search, all in one batch: the same picture always gets the same words. With `nucleus` = p it samples instead,
    each word from the most likely ones that together have probability p (Holtzman et al. 2020), as the released code
    does with p = 0.9 and 5 to 20 tokens. A picture's own generator is seeded by `seed` and its pixels, so neither its
    place nor its neighbours change its words; the global random state is left as it was.
    """
    if nucleus is not None and not 0 < nucleus <= 1:
        raise ValueError(f"nucleus is a probability above 0 and up to 1, not {nucleus}")
    pictures = [np.array(image) for image in images]
    pixels = processor.image_processor(images=pictures, return_tensors="pt").pixel_values
    pixels = pixels.to(captioner.device, captioner.dtype)
    if nucleus is None:
        tokens = captioner.generate(pixel_values=pixels, max_new_tokens=max_tokens, num_beams=beams, do_sample=False)
    else:
        seeds = [_picture_seed(seed, picture) for picture in pictures]
        tokens = [
            _sample(captioner, one, max_tokens, nucleus, own) for one, own in zip(pixels.split(1), seeds, strict=True)
        ]
    return [text.strip() for text in processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)]


def _sample(captioner, pixels: torch.Tensor, max_tokens: int, nucleus: float, seed: int) -> torch.Tensor:
    """Token numbers (T,) of one picture (1, 3, H, W). transformers draws from the global generator, so it is lent."""
    with torch.random.fork_rng(devices=[captioner.device] if captioner.device.type == "cuda" else []):
        torch.manual_seed(seed)
        return captioner.generate(
            pixel_values=pixels,
            max_new_tokens=max_tokens,
            min_new_tokens=min(MIN_TOKENS, max_tokens),
            num_beams=1,
            do_sample=True,
            top_p=nucleus,
            top_k=0,  # the library's default, 50, would cut the nucleus short
        )[0]


def _picture_seed(seed: int, picture: np.ndarray) -> int:
    """63 bits from the caller's seed, the picture's size and its pixels."""
    digest = blake2b(f"{seed}/{picture.shape}/".encode(), digest_size=8)
    digest.update(np.ascontiguousarray(picture).data)
    return int.from_bytes(digest.digest(), "big") >> 1
