"""The tiny CLIP: a tokenizer of the world's words, a text encoder that knows "infrared", a vision tower for measuring.

Both towers are trained on scenes and their true captions, visible and infrared, by CLIP's contrastive loss. Two linear
heads that are thrown away afterwards read the scene's attributes off each tower: they make the few minutes suffice.
"""

import json
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import nn
from torch.nn import functional
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from v2ir_lib.files import atomic_path
from v2ir_lib.profiles import TINY
from v2ir_lib.recipes.captioner import Labels, cosine_filters, sine_grid
from v2ir_lib.recipes.pictures import infrared_pictures, random_cameras, sheet, shrink, to_model
from v2ir_lib.recipes.stage import Run, Stage, count_parameters, key, save_half, seed_everything, train
from v2ir_lib.weights import load_model
from v2ir_lib.world import BANDS
from v2ir_lib.world.cameras import CAMERAS

STEPS, BATCH, LEARNING_RATE = 500, 96, 1.2e-3
VOCABULARY, LENGTH = 1000, 64  # tokens at most; longest prompt, start and end included
START, END = "<|startoftext|>", "<|endoftext|>"
INFRARED_TEXTS = (
    "an infrared image of {caption}",
    "a {band} infrared image of {caption}",
    "turn the visible image of {caption} into infrared",
)
CLIP_VISION_EXTRA = "text_projection.safetensors"  # beside the vision tower: text_projection.weight, logit_scale


# --- the tokenizer ---------------------------------------------------------------------------------------------------


def train_tokenizer(texts: list[str], vocabulary: int = VOCABULARY) -> CLIPTokenizer:
    """Byte-level BPE with CLIP's rules: lower case, `</w>` ends a word, start and end tokens last in the vocabulary.

    All 256 bytes are in it, so that every text has tokens; the frequent words of `texts` get a token of their own.
    """
    rules = CLIPTokenizer().backend_tokenizer  # for its normaliser and its way of cutting text into words
    letters = sorted(ByteLevel.alphabet())  # how byte-level BPE writes the 256 bytes
    tokens = letters + [letter + "</w>" for letter in letters]
    tokenizer = Tokenizer(BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = rules.normalizer, rules.pre_tokenizer
    room = vocabulary - len(letters) - 2  # the trainer knows fewer word endings than we keep: a few merges less
    trainer = BpeTrainer(vocab_size=room, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator(sorted(texts), trainer)
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    tokens = dict.fromkeys([*tokens, *("".join(merge) for merge in merges), START, END])
    result = CLIPTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=merges, model_max_length=LENGTH)
    assert len(result) == len(tokens) <= vocabulary, "the vocabulary was ignored"
    return result


# --- the towers ------------------------------------------------------------------------------------------------------


def build_clip(tokenizer: CLIPTokenizer, width: int = 128, layers: int = 4, patch: int = 12) -> CLIPModel:
    """An untrained CLIP: texts of 64 tokens, pictures of 96 pixels in [-1, 1], projections of 64 numbers."""
    tower = dict(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=4)
    special = dict(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,  # where the text is pooled; the default would pool the first token
        pad_token_id=tokenizer.pad_token_id,
    )
    text = dict(**tower, **special, vocab_size=len(tokenizer), max_position_embeddings=LENGTH, projection_dim=64)
    vision = dict(**tower, image_size=TINY.image_size, patch_size=patch, projection_dim=64)
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))
    embeddings = clip.vision_model.embeddings
    with torch.no_grad():  # as for the captioner: low frequencies and a sine grid to begin with
        embeddings.patch_embedding.weight.copy_(cosine_filters(width, patch))
        embeddings.position_embedding.weight[1:] = sine_grid(TINY.image_size // patch, width)
    return clip


class ClipTraining(nn.Module):
    """CLIP with its two training-time heads, and the loss."""

    def __init__(self, clip: CLIPModel, questions: int):
        super().__init__()
        self.clip = clip
        self.seen = nn.Linear(clip.config.projection_dim, questions)
        self.read = nn.Linear(clip.config.projection_dim, questions)

    def forward(self, pixels, ids, answers) -> tuple[torch.Tensor, dict]:
        """pixels (B, 3, 96, 96), ids (B, T), answers (B, questions) of 0 and 1, −1 where the text does not say."""
        clip = self.clip
        seen = clip.visual_projection(clip.vision_model(pixels).pooler_output)
        read = clip.text_projection(clip.text_model(ids).pooler_output)
        scale = clip.logit_scale.clamp(max=4.6052).exp()  # at most 100
        logits = scale * functional.normalize(seen, dim=-1) @ functional.normalize(read, dim=-1).T
        same = (ids[:, None] == ids[None]).all(-1).float()  # equal texts are right answers for one another's pictures
        target = same / same.sum(1, keepdim=True)
        contrast = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        known = (answers >= 0).float()
        heads = [
            (functional.binary_cross_entropy_with_logits(head, answers.clamp(min=0), reduction="none") * weight).mean()
            for head, weight in ((self.seen(seen), torch.ones_like(known)), (self.read(read), known))
        ]
        accuracy = (logits.argmax(1) == target.argmax(1)).float().mean()
        parts = {"contrast": contrast, "seen": heads[0], "read": heads[1], "accuracy": accuracy}
        return contrast + 2 * sum(heads), parts


# --- what they learn from --------------------------------------------------------------------------------------------


CLAUSE = re.compile(r",\s*|\s+(?=(?:with|and|at|in|under|after|seen|by day)\b)")


def thin_out(caption: str, rng: np.random.Generator) -> str:
    """The caption without some of its clauses (a word or a phrase after a comma or a preposition), never empty."""
    clauses = [clause for clause in CLAUSE.split(caption) if clause]
    kept = [clause for clause in clauses if rng.random() < 0.7] or clauses[:1]
    return re.sub(r"^(?:and|with) ", "", " ".join(kept))


class WordData:
    """Pictures at 96 pixels with their captions: all visible scenes, and infrared pictures of every band."""

    def __init__(self, run: Run):
        captioned, pairs, infrared = run.pack("captioned"), run.pack("pairs"), run.pack("infrared")
        print("words: preparing pictures")
        self.visible = np.concatenate([shrink(pack.visible, TINY.image_size) for pack in (captioned, pairs)])
        grey, self.bands, owners = [], [], []
        for pack, bands in ((infrared, BANDS), (pairs, ("lwir", None))):
            for j, band in enumerate(bands):
                cameras = random_cameras(run, f"words/{pack.name}/{j}", [band] * len(pack))
                grey.append(infrared_pictures(pack.radiance, cameras, key(run.seed, "words", pack.name, j)))
                self.bands += [CAMERAS[name].band for name in cameras]
                owners += [(pack.captions[i], pack.specs[i]) for i in range(len(pack))]
        self.infrared = np.concatenate(grey)
        visible = [(pack.captions[i], pack.specs[i]) for pack in (captioned, pairs) for i in range(len(pack))]
        self.captions = [caption for caption, _ in visible + owners]
        self.labels = Labels.of([spec for _, spec in visible])
        self.answers = torch.stack([self.labels.answers(spec) for _, spec in visible + owners])

    def texts(self) -> list[str]:
        """All that the tokenizer should know."""
        bands = [text.format(band=band, caption="") for band in BANDS for text in INFRARED_TEXTS]
        return [*self.captions, *bands * 100, *[TINY.phase1_prompt] * 100]  # often enough to get tokens of their own

    def batch(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, list[str], torch.Tensor]:
        """Pictures (B, 3, 96, 96), texts, answers: three visible to two infrared, mirrored and shortened at random."""
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        pictures, texts, answers = [], [], []
        for row in range(count):
            is_visible = row % 5 < 3
            source = self.visible if is_visible else self.infrared
            i = int(rng.integers(len(source)))
            entry = i if is_visible else len(self.visible) + i
            caption, answer = self.captions[entry], self.answers[entry]
            if rng.random() < 0.3:
                caption, answer = thin_out(caption, rng), torch.full_like(answer, -1)
            if is_visible:
                text = caption
            elif rng.random() < 0.04:
                text, answer = TINY.phase1_prompt, torch.full_like(answer, -1)
            else:
                text = str(rng.choice(INFRARED_TEXTS)).format(band=self.bands[i], caption=caption)
            pictures.append(source[i][:, ::-1] if rng.random() < 0.5 else source[i])
            texts.append(text)
            answers.append(answer)
        return to_model(np.stack(pictures)), texts, torch.stack(answers)


def train_words(run: Run) -> None:
    """Train, write tokenizer/, text_encoder/ and clip_vision/ below models/tiny, and figures/words.jpg."""
    data = WordData(run)
    tokenizer = train_tokenizer(data.texts())
    seed_everything(run.seed, "words", "weights")
    model = ClipTraining(build_clip(tokenizer), len(data.labels.questions)).to(run.device)
    print(f"words: {len(tokenizer)} tokens, {len(data.visible)} visible and {len(data.infrared)} infrared pictures")

    def loss(step: int, generator: torch.Generator):
        pixels, texts, answers = data.batch(BATCH, generator)
        ids = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").input_ids
        return model(pixels.to(run.device), ids.to(run.device), answers.to(run.device))

    def finish(out: Path) -> dict:
        save_words(model.clip, tokenizer, out)
        ranking = retrieve(out, data.visible[:64], data.captions[:64])
        sheet(run.figure("words"), [data.visible[[i, *ranking[i, :7]]] for i in range(min(8, len(ranking)))])
        prompts = [TINY.prompt.format(caption=caption) for caption in data.captions]
        longest = max(len(ids) for ids in tokenizer(prompts).input_ids)
        return {"parameters": count_parameters(model.clip), "vocabulary": len(tokenizer), "longest_prompt": longest}

    stage = Stage("words", model, loss, finish, STEPS, BATCH, LEARNING_RATE, ema_decay=0.995, weight_decay=0.05)
    train(stage, run)


def save_words(clip: CLIPModel, tokenizer: CLIPTokenizer, out: Path) -> None:
    """Cut CLIP into the folders that the pipeline and the measures read."""
    text = CLIPTextModel(clip.config.text_config)
    text.load_state_dict(clip.text_model.state_dict())
    vision = CLIPVisionModelWithProjection(clip.config.vision_config)
    vision.vision_model.load_state_dict(clip.vision_model.state_dict())
    vision.visual_projection.load_state_dict(clip.visual_projection.state_dict())
    save_half(text.eval(), out / "text_encoder")
    save_half(vision.eval(), out / "clip_vision")
    size = {"height": TINY.image_size, "width": TINY.image_size}
    grey = [0.5, 0.5, 0.5]  # [0, 1] becomes [-1, 1]
    CLIPImageProcessor(
        size=size, crop_size=size, do_center_crop=False, image_mean=grey, image_std=grey
    ).save_pretrained(out / "clip_vision")
    extra = {"text_projection.weight": clip.text_projection.weight, "logit_scale": clip.logit_scale}
    with atomic_path(out / "clip_vision" / CLIP_VISION_EXTRA) as temporary:
        save_file({name: value.detach().cpu().half().contiguous() for name, value in extra.items()}, temporary)
    with atomic_path(out / "tokenizer") as temporary:
        tokenizer.save_pretrained(temporary)
    again = CLIPTokenizer.from_pretrained(out / "tokenizer")
    assert len(again) == len(tokenizer) and again.model_max_length == LENGTH


# --- what they can do ------------------------------------------------------------------------------------------------


@torch.no_grad()
def image_features(folder: Path, pictures: np.ndarray) -> torch.Tensor:
    """The vision tower's projection of uint8 (N, 96, 96, 3): float (N, 64), not normalised. FD-tiny is taken on it."""
    tower = load_model(CLIPVisionModelWithProjection, folder / "clip_vision")
    return torch.cat(
        [tower(to_model(pictures[start : start + 64])).image_embeds for start in range(0, len(pictures), 64)]
    )


@torch.no_grad()
def text_features(folder: Path, texts: list[str]) -> torch.Tensor:
    """The text tower's projection: float (N, 64), not normalised."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    tower = load_model(CLIPTextModel, folder / "text_encoder")
    projection = load_file(folder / "clip_vision" / CLIP_VISION_EXTRA)["text_projection.weight"].float()
    parts = []
    for start in range(0, len(texts), 64):
        ids = tokenizer(texts[start : start + 64], padding=True, truncation=True, return_tensors="pt").input_ids
        parts.append(tower(ids).pooler_output @ projection.T)
    return torch.cat(parts)


def similarities(folder: Path, pictures: np.ndarray, texts: list[str]) -> torch.Tensor:
    """Cosine similarity of every picture and every text: (N, M)."""
    seen, read = image_features(folder, pictures), text_features(folder, texts)
    return functional.normalize(seen, dim=-1) @ functional.normalize(read, dim=-1).T


def retrieve(folder: Path, pictures: np.ndarray, texts: list[str]) -> np.ndarray:
    """For every text the pictures from the most to the least similar: integers (texts, pictures)."""
    return similarities(folder, pictures, texts).T.argsort(dim=1, descending=True).numpy()
