"""The tiny captioner: BLIP's own class, small, trained from nothing on visible scenes and their true captions (§3.4).

A vision transformer of this size learns slowly from words alone: a caption is some twenty tokens for 36,864 pixels.
Two linear heads, thrown away after training, tell it more: one reads the scene's attributes off the class token, the
other reads the classes present in each patch off the patch tokens. What the decoder attends to is thus shaped by the
scene's truth, while it remains a plain `BlipForConditionalGeneration`.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

from v2ir_lib.profiles import TINY
from v2ir_lib.recipes.augment import augment
from v2ir_lib.recipes.captioner_score import SCALARS, draw_captions, measure
from v2ir_lib.recipes.stage import Run, Stage, count_parameters, save_half, seed_everything, train
from v2ir_lib.world import CLASSES

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
STEPS, BATCH, LEARNING_RATE = 1000, 32, 1e-3
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's, as in BLIP


# --- the parts -------------------------------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    """Lower-case words and punctuation marks, as `BertTokenizer` splits them."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def build_tokenizer(captions: Sequence[str], max_length: int) -> BertTokenizer:
    """A `BertTokenizer` with one token a word of `captions`, and single characters for words that it does not know."""
    words = sorted({word for caption in captions for word in words_of(caption)})
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    tokens = [*SPECIAL, *words, *(c for c in letters if c not in words), *(f"##{c}" for c in letters)]
    tokenizer = BertTokenizer(vocab={token: index for index, token in enumerate(tokens)}, model_max_length=max_length)
    assert len(tokenizer) == len(tokens), "the vocabulary was ignored"
    return tokenizer


def build_processor(tokenizer: BertTokenizer, image_size: int) -> BlipProcessor:
    """BLIP's processor: pictures to `image_size` squared and CLIP's mean and deviation, words to `tokenizer`'s ids."""
    size = {"height": image_size, "width": image_size}
    return BlipProcessor(BlipImageProcessor(size=size, image_mean=list(MEAN), image_std=list(STD)), tokenizer)


def build_captioner(
    tokenizer: BertTokenizer, image_size: int = 192, patch: int = 16, width: int = 128, depth: int = 4, words: int = 3
) -> BlipForConditionalGeneration:
    """An untrained BLIP: `depth` vision layers and `words` text layers, both `width` wide with 4 heads."""
    special = dict(
        bos_token_id=tokenizer.cls_token_id,  # BLIP writes the first token itself, and it replaces [CLS]
        eos_token_id=tokenizer.sep_token_id,
        sep_token_id=tokenizer.sep_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    shared = dict(hidden_size=width, num_attention_heads=4, projection_dim=width)
    text = dict(
        **shared,
        **special,
        vocab_size=len(tokenizer),
        intermediate_size=3 * width,
        num_hidden_layers=words,
        max_position_embeddings=tokenizer.model_max_length,
        label_smoothing=0.05,
    )
    vision = dict(
        **shared,
        image_size=image_size,
        patch_size=patch,
        intermediate_size=4 * width,
        num_hidden_layers=depth,
        initializer_range=0.02,  # the class's default of 1e-10 is meant for pretrained weights
    )
    model = BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config=vision, projection_dim=width, image_text_hidden_size=width)
    )
    embeddings = model.vision_model.embeddings
    with torch.no_grad():  # a vision transformer knows its neighbours at once from a sine grid, and keeps learning it
        embeddings.position_embedding[0, 1:] = sine_grid(image_size // patch, width)
        embeddings.patch_embedding.weight.copy_(cosine_filters(width, patch))
    return model


def fused_attention(layer: nn.Module, hidden_states: torch.Tensor, **unused) -> tuple[torch.Tensor, None]:
    """What BLIP's vision attention computes, by torch's fused kernel, which halves its time: (B, T, C) to (B, T, C)."""
    count, tokens, width = hidden_states.shape
    qkv = layer.qkv(hidden_states).view(count, tokens, 3, layer.num_heads, width // layer.num_heads)
    mixed = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4), scale=layer.scale)
    return layer.projection(mixed.transpose(1, 2).reshape(count, tokens, width)), None


def sine_grid(side: int, width: int) -> torch.Tensor:
    """Two-dimensional sine-cosine positions (side², width), of the same size as the filters' answers."""
    frequencies = math.pi / side * torch.exp(torch.linspace(0.0, math.log(side / 2), width // 4))
    angles = (torch.arange(side) + 0.5)[:, None] * frequencies
    line = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    grid = torch.cat([line[:, None].expand(side, side, -1), line[None].expand(side, side, -1)], dim=-1)
    return 0.3 * grid.reshape(side * side, width)


def cosine_filters(width: int, patch: int) -> torch.Tensor:
    """The `width` lowest frequencies of a patch's cosine transform, brightness before colour: (width, 3, patch, patch).

    A random projection of a patch's pixels must first learn to be smooth; these are.
    """
    axis = (torch.arange(patch) + 0.5) * math.pi / patch
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])
    colours = colours / colours.norm(dim=1, keepdim=True)
    order = [
        ((u + v) * (1 if c == 0 else 2) + c, u, v, c) for u in range(patch) for v in range(patch) for c in range(3)
    ]
    filters = []
    for _, u, v, c in sorted(order)[:width]:
        plane = torch.outer(torch.cos(u * axis), torch.cos(v * axis))
        gain = 1.0 + 0.5 * (u + v)  # natural spectra fall: level the answers
        filters.append(gain * 0.5 / patch * colours[c][:, None, None] * plane / plane.norm() * 2)
    return torch.stack(filters)


# --- what it learns from ---------------------------------------------------------------------------------------------


@dataclass
class Labels:
    """The attributes as yes-or-no questions, fixed by the training scenes."""

    questions: list[tuple]  # ("time", "night") or ("objects", "car", 2): at least two cars

    @classmethod
    def of(cls, specs: Sequence[dict]) -> "Labels":
        found = set()
        for spec in specs:
            attributes = spec["attributes"]
            found |= {(key, attributes[key]) for key in (*SCALARS, "traffic") if key in attributes}
            for kind, count in attributes["objects"].items():
                found |= {("objects", kind, least) for least in range(1, min(count, 4) + 1)}
        return cls(sorted(found, key=str))

    def answers(self, spec: dict) -> torch.Tensor:
        """(questions,) of 0 and 1."""
        attributes = spec["attributes"]
        return torch.tensor(
            [
                float(attributes["objects"].get(question[1], 0) >= question[2])
                if question[0] == "objects"
                else float(attributes.get(question[0]) == question[1])
                for question in self.questions
            ]
        )


class CaptionData:
    """Scenes of several packs as one list, and seeded augmented batches of them.

    packs: each has `visible` (N, S, S, 3) uint8, `classes` (N, S, S) uint8, `captions`, `specs`.
    """

    def __init__(self, packs: Sequence, tokenizer: BertTokenizer, seed: int = 0):
        self.packs, self.tokenizer, self.seed = list(packs), tokenizer, seed
        self.places = [(p, i) for p, pack in enumerate(self.packs) for i in range(len(pack.captions))]
        self._orders: dict[int, np.ndarray] = {}
        self.labels = Labels.of([spec for pack in self.packs for spec in pack.specs])
        self.answers = torch.stack([self.labels.answers(spec) for pack in self.packs for spec in pack.specs])

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, step: int, size: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Batch number `step`: an epoch sees every scene once, in an order of its own; `generator` draws the rest."""
        chosen = [self._place(step * size + i) for i in range(size)]
        where = [self.places[i] for i in chosen]
        visible = torch.from_numpy(np.stack([self.packs[p].visible[i] for p, i in where]))
        classes = torch.from_numpy(np.stack([self.packs[p].classes[i] for p, i in where]))
        visible, classes = augment(visible, classes, generator)
        text = self.tokenizer(
            [self.packs[p].captions[i] for p, i in where], padding=True, truncation=True, return_tensors="pt"
        )
        return dict(
            pixels=normalise(visible),
            classes=classes,
            input_ids=text.input_ids,
            attention_mask=text.attention_mask,
            answers=self.answers[chosen],
        )

    def _place(self, number: int) -> int:
        """Which scene is drawn as number `number` of the whole training."""
        epoch, place = divmod(number, len(self))
        if epoch not in self._orders:
            shuffle = np.random.default_rng([self.seed, epoch])
            self._orders = {epoch: shuffle.permutation(len(self)), **dict(list(self._orders.items())[:1])}
        return int(self._orders[epoch][place])


def normalise(visible: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1] to what BLIP reads: CLIP's mean 0, deviation 1."""
    mean, std = (torch.tensor(v, dtype=visible.dtype)[None, :, None, None] for v in (MEAN, STD))
    return (visible - mean) / std


class CaptionerTraining(nn.Module):
    """BLIP with its two training-time heads; `forward(batch)` is the loss."""

    def __init__(self, captioner: BlipForConditionalGeneration, questions: int, class_count: int):
        super().__init__()
        width = captioner.config.vision_config.hidden_size
        self.captioner = captioner
        for block in captioner.vision_model.encoder.layers:  # while it trains; the saved model is BLIP's own
            block.self_attn.forward = partial(fused_attention, block.self_attn)
        self.answer = nn.Linear(2 * width, questions)
        self.regions = nn.Linear(width, class_count)
        self.class_count = class_count

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss (a scalar to go down) and its parts, in nats."""
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        output = self.captioner(batch["pixels"], batch["input_ids"], batch["attention_mask"], labels=labels)
        tokens = output.last_hidden_state  # (B, 1 + patches, width)
        answers = self.answer(torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=1))
        attributes = F.binary_cross_entropy_with_logits(answers, batch["answers"])
        side = math.isqrt(tokens.shape[1] - 1)
        present = present_classes(batch["classes"], side, self.class_count)
        regions = F.binary_cross_entropy_with_logits(self.regions(tokens[:, 1:]), present)
        loss = output.loss + 4 * attributes + 4 * regions
        return loss, dict(words=output.loss.item(), attributes=attributes.item(), regions=regions.item())


def present_classes(classes: torch.Tensor, side: int, class_count: int) -> torch.Tensor:
    """Which classes occur in each patch: (B, H, W) indices to (B, side², class_count) of 0 and 1."""
    count, height, width = classes.shape
    blocks = classes.reshape(count, side, height // side, side, width // side).transpose(2, 3)
    blocks = blocks.reshape(count, side * side, -1)
    return torch.zeros(count, side * side, class_count).scatter_(2, blocks, 1.0)


def train_captioner(run: Run) -> dict:
    """The stage: train on the captioned scenes and the pairs, write `captioner/`, measure it on validation scenes."""
    packs = [run.pack(name) for name in ("captioned", "pairs")]
    tokenizer = build_tokenizer([caption for pack in packs for caption in pack.captions], TINY.caption_tokens)
    seed_everything(run.seed, "captioner")
    captioner = build_captioner(tokenizer, TINY.reading_size)
    data = CaptionData(packs, tokenizer, run.seed)
    model = CaptionerTraining(captioner, len(data.labels.questions), len(CLASSES)).to(run.device)

    def loss(step: int, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        return model({key: value.to(run.device) for key, value in data.batch(step, BATCH, generator).items()})

    def finish(out: Path) -> dict:
        folder = out / "captioner"
        save_half(captioner, folder)
        build_processor(tokenizer, TINY.reading_size).save_pretrained(folder)
        validation = run.pack("validation")
        scores = measure(folder, validation)
        draw_captions(folder, validation, run.figure("captioner"))
        return {"parameters": count_parameters(captioner), "vocabulary": len(tokenizer), "validation": scores}

    return train(
        Stage("captioner", model, loss, finish, STEPS, BATCH, LEARNING_RATE, 150, weight_decay=0.02, ema_decay=0.998),
        run,
    )
