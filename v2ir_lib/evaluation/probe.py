"""`python -m v2ir_lib.evaluation.probe`: what can words add to a picture? In `results/probe.json`.

For each thing that is true of a scene (night, fog, a bus, an engine that runs, …): how well does a linear probe read
it from the visible picture's latent, which the UNet is given anyway, how well from the caption's embedding, and how
well from both? Words can only help where "both" is above "visible". The true caption shows what a perfect captioner
would add. What no set reads, such as the warm place that a departed car leaves, no condition can tell the UNet.

A linear reading is a lower bound: the UNet is no linear probe, and may find more in either.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import typer
from tqdm.auto import tqdm

from v2ir_lib.diffusion.components import encode_text, load_text_encoder, load_tokenizer
from v2ir_lib.diffusion.images import resize
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.linear_probe import PENALTIES, balanced_accuracy, fit, intervals
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.plm.annotate import captions
from v2ir_lib.plm.cache import cached
from v2ir_lib.plm.prepare import Encoders, stand_ins
from v2ir_lib.profiles import TINY
from v2ir_lib.vlum.prompts import make_prompt
from v2ir_lib.weights import folder_hash
from v2ir_lib.world import THINGS
from v2ir_lib.world.packs import load_pack

WORDS = ("time", "weather", "season", "setting", "viewpoint")
VEHICLES = ("car", "bus", "truck")
WITH_PARKING = ("street", "residential", "parking")  # settings in which cars park, and leave
PARTS = ("autoencoder", "captioner", "text_encoder", "tokenizer")
CELLS = 6  # a side, of the latent's coarse picture
LEAST = 6  # scenes of a class, in training and in test; with fewer there is nothing to measure
SETS = {  # what a probe is given, of the features of a scene
    "visible": ("visible",),
    "caption": ("caption",),
    "both": ("visible", "caption"),
    "true caption": ("true caption",),
    "visible and true caption": ("visible", "true caption"),
}
DIFFERENCES = (("both", "visible"), ("visible and true caption", "visible"), ("caption", "visible"))


@dataclass(frozen=True)
class Questions:
    """Answers and features of N scenes."""

    answers: dict[str, np.ndarray]  # attribute → (N,) of words, "" where it is not asked
    features: dict[str, np.ndarray]  # "visible", "caption", "true caption" → (N, D)
    groups: np.ndarray  # (N,) scenes


def answers_of(spec: dict) -> dict[str, str]:
    """What is true of a scene, in words; "" where the question makes no sense, e.g. the engines of no vehicle.

    Asked narrowly, so that a probe cannot score by seeing what goes with the answer: "just parked" among scenes that
    show a parked car, the kind of lamp after sunset, snow among dry winter scenes.
    """
    found = {name: str(spec[name]) for name in WORDS}
    found |= {kind: _yes(kind in spec["attributes"]["objects"]) for kind in THINGS}
    states = {thing["state"] for thing in spec["instances"] if thing["kind"] in VEHICLES}
    parked, dark = states & {"cold", "just parked"}, spec["time"] != "day" or spec["weather"] == "fog"
    found["engine running"] = _yes("driven" in states, asked=bool(states))
    found["headlights"] = _yes("driven" in states and dark, asked=bool(states))
    found["warm exhaust"] = _yes(states != {"cold"}, asked=bool(states))
    found["just parked"] = _yes("just parked" in parked, asked=bool(parked))
    found["snow"] = _yes(spec["snow"], asked=spec["season"] == "winter" and spec["weather"] != "rain")
    found["lamps"] = ("halogen" if spec["halogen"] else "LED") if spec["time"] != "day" else ""
    ghost = any(thing["kind"] == "ghost" for thing in spec["objects"])
    found["ghost of a car"] = _yes(ghost, asked=spec["setting"] in WITH_PARKING)
    return found


def latent_features(latents: np.ndarray) -> np.ndarray:
    """Mean, standard deviation and a coarse picture of each channel: (N, 4, h, w) → float64 (N, 8 + 4 · CELLS²)."""
    values = torch.from_numpy(np.asarray(latents)).double()
    coarse = F.adaptive_avg_pool2d(values, CELLS).flatten(1)
    return torch.cat([values.mean((2, 3)), values.std((2, 3), correction=0), coarse], dim=1).numpy()


@torch.no_grad()
def text_features(tokenizer, text_encoder, prompts: list[str]) -> np.ndarray:
    """The mean over a prompt's own tokens, start and end included, padding not, of its embeddings: float32 (N, D)."""
    limit = tokenizer.model_max_length
    mask = tokenizer(prompts, padding="max_length", truncation=True, max_length=limit, return_tensors="pt")
    mask = mask.attention_mask[..., None].float()
    states = encode_text(tokenizer, text_encoder, prompts).cpu().float()
    return ((states * mask).sum(1) / mask.sum(1)).numpy()


def measure(train: Questions, test: Questions, seed: int) -> dict:
    """Every attribute's table: balanced accuracy of each feature set on the test scenes, with intervals.

    An attribute of which two classes have at least `LEAST` scenes in both is probed on the classes that do.
    """
    report = {}
    for name in tqdm(train.answers, desc="probes", unit="attribute", delay=2):
        counts = [_counts(one.answers[name]) for one in (train, test)]
        classes = sorted(word for word in counts[0] if all(count.get(word, 0) >= LEAST for count in counts))
        entry = {"classes": {word: [count.get(word, 0) for count in counts] for word in sorted(counts[0])}}
        if len(classes) < 2:
            report[name] = entry | {"skipped": f"fewer than two classes with {LEAST} scenes in training and test"}
            continue
        rows = [np.isin(one.answers[name], classes) for one in (train, test)]
        labels, true = (one.answers[name][row] for one, row in zip((train, test), rows, strict=True))
        answers, penalties = {}, {}
        for label, parts in SETS.items():
            probe = fit([train.features[part][rows[0]] for part in parts], labels, train.groups[rows[0]], seed)
            theirs = np.concatenate([test.features[part][rows[1]] for part in parts], axis=1)
            answers[label], penalties[label] = probe.predict(theirs), probe.penalty
        majority = max(classes, key=lambda word: counts[0][word])
        scores = intervals(true, answers, test.groups[rows[1]], DIFFERENCES, seed)
        report[name] = entry | {
            "majority": {
                "class": majority,
                "balanced_accuracy": round(balanced_accuracy(true, np.full(len(true), majority)), 4),
                "accuracy": round(float(np.mean(true == majority)), 4),
            },
            **{label: one.as_dict() for label, one in scores.items()},
            "accuracy": {label: round(float(np.mean(answer == true)), 4) for label, answer in answers.items()},
            "penalty": penalties,
        }
    return report


def load_questions(pack, encoders: Encoders) -> Questions:
    """A pack's scenes, by the shipped encoders; latents, captions and embeddings come from the cache where they are."""
    said = captions(pack.visible, encoders.profile, encoders.models, name=pack.name)
    answers = [answers_of(spec) for spec in pack.specs]
    return Questions(
        answers={name: np.array([one[name] for one in answers]) for name in answers[0]},
        features={
            "visible": latent_features(_latents(pack, encoders)),
            "caption": _embeddings(said, pack.name, encoders),
            "true caption": _embeddings(pack.captions, pack.name, encoders),
        },
        groups=np.arange(len(pack)),  # every scene of a pack is its own
    )


def _latents(pack, encoders: Encoders) -> np.ndarray:
    """Posterior modes of the whole visible pictures, at the UNet's size: float16 (N, 4, h, w)."""
    side = encoders.profile.image_size

    def compute(chunk: slice) -> dict[str, np.ndarray]:
        small = np.stack([resize(np.asarray(picture), side, side) for picture in pack.visible[chunk]])
        return {"modes": np.array_split(encoders.moments(small), 2, axis=1)[0]}

    def made_from(chunk: slice) -> tuple:
        return encoders.autoencoder_fingerprint, side, np.asarray(pack.visible[chunk])

    return cached(f"probe-latents-{pack.name}", len(pack), made_from, compute)["modes"]


def _embeddings(said: list[str], name: str, encoders: Encoders) -> np.ndarray:
    """Of the prompts made from captions, as the UNet is given them: float32 (N, D)."""
    prompts = [make_prompt(caption, encoders.profile.prompt) for caption in said]
    folders = [encoders.models[part] for part in ("text_encoder", "tokenizer")]
    tokenizer, encoder = load_tokenizer(folders[1]), load_text_encoder(folders[0])
    hashes = [folder_hash(folder) for folder in folders]
    return cached(
        f"probe-words-{name}",
        len(prompts),
        lambda chunk: (hashes, prompts[chunk]),
        lambda chunk: {"words": text_features(tokenizer, encoder, prompts[chunk])},
        size=64,
    )["words"]


def _yes(answer: bool, asked: bool = True) -> str:
    return ("yes" if answer else "no") if asked else ""


def _counts(answers: np.ndarray) -> Mapping[str, int]:
    words, counts = np.unique(answers[answers != ""], return_counts=True)
    return dict(zip(words.tolist(), counts.tolist(), strict=True))


def run(models: Path, out: Path, seed: int, limit: int | None = None) -> dict:
    """Probe the held-out scenes, with the encoders in `models`; writes and returns the report."""
    started = time.perf_counter()
    encoders = Encoders(TINY, stand_ins(models))
    train, test = (load_questions(load_pack(name, limit), encoders) for name in ("pairs", "heldout"))
    report = {
        "about": "balanced accuracy of linear probes on held-out scenes, trained on the pairs; low, high: 95% "
        "bootstrap over scenes; classes: scenes in training and test. The captioner has seen the pairs in its training",
        "features": {
            "visible": f"the visible latent: mean, deviation and {CELLS} × {CELLS} cells of each channel",
            "caption": "mean of the text encoder's states over the prompt's tokens; words by the captioner",
            "true caption": "the same of the scene's own caption",
        },
        "penalties": PENALTIES,
        "scenes": {"train": len(train.groups), "test": len(test.groups)},
        "attributes": measure(train, test, seed),
        "models": {part: folder_hash(encoders.models[part]) for part in PARTS},
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": provenance(seed),
    }
    write_json(out, report)
    return report


def main(
    models: Path = typer.Option(repo_root() / "models" / "tiny", help="Folder of the stand-ins."),
    out: Path = typer.Option(repo_root() / "results" / "probe.json", help="File to write."),
    seed: int = typer.Option(0, help="Seed of the folds and of the intervals."),
    limit: int = typer.Option(None, min=16, help="The first so many scenes of each pack; all if not given."),
) -> None:
    """Measure what the visible latent and the caption say of a scene; writes results/probe.json.

    Example: python -m v2ir_lib.evaluation.probe
    """
    try:
        report = run(models, out, seed, limit)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(f"{'':16s}" + "".join(f"{name:>26s}" for name in ("majority", *SETS)))
    for name, entry in report["attributes"].items():
        if "skipped" in entry:
            print(f"{name:16s}  {entry['skipped']}")
            continue
        scores = [
            f"{entry[label]['mean']:.2f} [{entry[label]['low']:.2f}, {entry[label]['high']:.2f}]" for label in SETS
        ]
        print(f"{name:16s}{entry['majority']['balanced_accuracy']:26.2f}" + "".join(f"{one:>26s}" for one in scores))
    print(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
