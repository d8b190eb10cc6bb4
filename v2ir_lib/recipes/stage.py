"""One training loop for every stage: exact resume, one checkpoint file, a loss curve, fp16 weights at the end.

A stage says what it trains and how to compute a loss; `train` does the rest:

    def train_something(run: Run) -> None:
        seed_everything(run.seed, "something")          # initial weights
        model = Something().to(run.device)

        def loss(step, generator):                      # everything random comes from `generator` (on the CPU)
            index = torch.randint(len(data), (32,), generator=generator)
            ...
            return error, {"l1": error}                 # scalar tensor, parts for the curve

        def finish(out):                                # the model holds its final (averaged) weights here
            save_half(model, out / "something")
            return {"parameters": count_parameters(model)}  # goes into results/recipes/something.json

        train(Stage("something", model, loss, finish, steps=1000, batch_size=32, learning_rate=1e-3), run)
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from tqdm.auto import tqdm

from v2ir_lib import weights
from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import atomic_path, cache_dir, repo_root, write_json
from v2ir_lib.plm.interruption import deferred_interruption


@dataclass
class Run:
    """What the person at the keyboard chose; the same for every stage."""

    models: Path = field(default_factory=lambda: repo_root() / "models" / "tiny")  # final weights go here
    results: Path = field(default_factory=lambda: repo_root() / "results")  # recipes/<stage>.json, figures/*.jpg
    work: Path = field(default_factory=lambda: cache_dir() / "recipes")  # checkpoints in progress
    seed: int = 0
    steps: int | None = None  # in place of the stage's own number
    limit: int | None = None  # scenes read of each pack; None: all
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")
    load: Callable | None = None  # in place of `world.packs.load_pack`, for tests

    def pack(self, name: str):
        """The pack of that name, cut to `limit` scenes."""
        if self.load is not None:
            return self.load(name, limit=self.limit)
        from v2ir_lib.world.packs import load_pack

        return load_pack(name, limit=self.limit)

    def figure(self, name: str) -> Path:
        """Where the picture `name`.jpg of this run goes."""
        return self.results / "figures" / f"{name}.jpg"


@dataclass
class Stage:
    """One training. Only parameters with `requires_grad` are trained and averaged; all of the state is checkpointed."""

    name: str
    model: nn.Module
    loss: Callable[[int, torch.Generator], tuple[torch.Tensor, dict]]
    finish: Callable[[Path], dict | None]
    steps: int
    batch_size: int  # only for the images per second shown: `loss` draws its own batch
    learning_rate: float
    warmup_steps: int = 50
    schedule: str = "cosine"  # or "constant"
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float | None = None  # None: no averaging
    seconds_between_checkpoints: float = 120.0


def key(*parts: object) -> int:
    """A 63-bit seed from anything printable: the same parts, the same number, on every machine."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_everything(*parts: object) -> torch.Generator:
    """Seed torch's global generator (weights, dropout inside models) and return one of its own for everything else."""
    torch.manual_seed(key(*parts, "global"))
    return torch.Generator().manual_seed(key(*parts))


def count_parameters(model: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def learning_rate_at(step: int, stage: Stage, steps: int) -> float:
    """Linear warm-up to `stage.learning_rate`, then constant, or half a cosine down to 2% of it at the end."""
    warmup = min(stage.warmup_steps, steps // 10)
    if step < warmup:
        return stage.learning_rate * (step + 1) / (warmup + 1)
    if stage.schedule == "constant":
        return stage.learning_rate
    done = (step - warmup) / max(1, steps - warmup)
    return stage.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


class Average:
    """Exponential moving average of the trained parameters: a ← d·a + (1 − d)·p, d = min(decay, (1 + n) / (10 + n)).

    The warm-up of d keeps the random initial weights out of the average of a short run.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.updates = 0
        self.values = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take one step towards the model's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        present = dict(model.named_parameters())
        averages = list(self.values.values())
        torch._foreach_lerp_(averages, [present[name].detach() for name in self.values], 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Put the average in place of the model's weights."""
        for name, parameter in model.named_parameters():
            if name in self.values:
                parameter.copy_(self.values[name])


def train(stage: Stage, run: Run) -> dict:
    """Train to the end (resuming where an earlier run stopped), write the weights, return the record of the run.

    The record also goes to `results/recipes/<stage>.json`. Interrupted (Ctrl-C or SIGTERM), it saves and raises
    `KeyboardInterrupt`; a loss that is not a number raises `UserError` and keeps the last checkpoint.
    """
    steps = run.steps or stage.steps
    named = {name: p for name, p in stage.model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(named.values(), lr=stage.learning_rate, weight_decay=stage.weight_decay, foreach=True)
    average = Average(stage.model, stage.ema_decay) if stage.ema_decay else None
    checkpoint = run.work / stage.name / f"checkpoint-{_fingerprint(stage, run, steps)}.safetensors"
    progress = {"step": 0, "seconds": 0.0, "curve": [], "open": {}}
    if checkpoint.exists():
        progress = _load(checkpoint, stage.model, named, optimiser, average)
        print(f"{stage.name}: goes on from step {progress['step']} of {steps}")

    def save() -> None:
        _save(checkpoint, stage.model, named, optimiser, average, progress)

    stage.model.train()
    interval = max(1, steps // 200)  # steps behind one point of the curve
    started = saved = time.monotonic()
    before = progress["seconds"]
    images = stage.batch_size * (steps - progress["step"])
    bar = tqdm(total=images, desc=stage.name, unit="img", unit_scale=True, smoothing=0.05, mininterval=1.0)
    with deferred_interruption() as interrupted, bar:
        for step in range(progress["step"], steps):
            generator = seed_everything(run.seed, stage.name, step)
            optimiser.param_groups[0]["lr"] = learning_rate_at(step, stage, steps)
            optimiser.zero_grad(set_to_none=True)
            loss, parts = stage.loss(step, generator)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise UserError(
                    f"{stage.name}: the loss became {value} at step {step}; lower the learning rate, or check the data"
                )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(named.values(), stage.clip_norm, foreach=True)
            optimiser.step()
            if average:
                average.update(stage.model)
            progress["step"] = step + 1
            progress["seconds"] = before + time.monotonic() - started
            _record(progress, {"loss": value} | parts, interval)
            bar.update(stage.batch_size)
            bar.set_postfix(step=f"{step + 1}/{steps}", loss=f"{value:.4f}", refresh=False)
            if interrupted.is_set():
                save()
                raise KeyboardInterrupt(f"{stage.name}: saved at step {step + 1} of {steps}; the same command goes on")
            if time.monotonic() - saved > stage.seconds_between_checkpoints:
                save()
                saved = time.monotonic()
    save()  # so that a failure in `finish` costs no training
    if average:
        average.copy_to(stage.model)
    stage.model.eval()
    with torch.no_grad():
        notes = stage.finish(run.models) or {}
    record = {
        "stage": stage.name,
        "complete": steps >= stage.steps,
        "steps": steps,
        "batch_size": stage.batch_size,
        "learning_rate": stage.learning_rate,
        "schedule": stage.schedule,
        "ema_decay": stage.ema_decay,
        "trained_parameters": sum(p.numel() for p in named.values()),
        "seconds": round(progress["seconds"], 1),
        "seconds_per_step": round(progress["seconds"] / steps, 4),
        "notes": notes,
        "provenance": provenance(run.seed),
        "curve": progress["curve"],
    }
    write_json(run.results / "recipes" / f"{stage.name}.json", record)
    checkpoint.unlink(missing_ok=True)
    print(f"{stage.name}: done, {steps} steps in {progress['seconds'] / 60:.1f} minutes; {notes}")
    return record


def save_half(model: nn.Module, folder: Path) -> None:
    """Write `model.save_pretrained` as fp16 safetensors into `folder`, replaced whole once it has been read back.

    `model` keeps its fp32 weights. Raises `UserError` if a weight does not fit into fp16 (65,504), and `AssertionError`
    if what is read back in fp32 is not the fp16 rounding of what was written.
    """
    rounded = {name: tensor.half().float() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    for name, tensor in rounded.items():
        if not tensor.isfinite().all():
            raise UserError(f"{folder.name}: the weight {name} is too large for fp16; train with more weight decay")
    with atomic_path(folder) as temporary:
        weights.save_half(model, temporary)
        again = weights.load_model(type(model), temporary).state_dict()
        for name, tensor in rounded.items():
            assert torch.equal(again[name], tensor.cpu()), f"{folder}: {name} was not read back as written"


def _record(progress: dict, values: dict, interval: int) -> None:
    """Add one step's values; every `interval` steps their means become a point of the curve."""
    for name, value in values.items():
        value = float(value.detach()) if isinstance(value, torch.Tensor) else float(value)
        progress["open"].setdefault(name, []).append(value)
    if len(progress["open"]["loss"]) >= interval:
        means = {name: round(sum(some) / len(some), 6) for name, some in progress["open"].items()}
        progress["curve"].append({"step": progress["step"]} | means)
        progress["open"] = {}


def _fingerprint(stage: Stage, run: Run, steps: int) -> str:
    """What must be equal for a checkpoint to be continued: settings and shapes. Part of the file's name."""
    shapes = [(name, tuple(tensor.shape)) for name, tensor in stage.model.state_dict().items()]
    settings = (stage.name, steps, stage.batch_size, stage.learning_rate, stage.warmup_steps, stage.schedule)
    return f"{key(settings, stage.weight_decay, stage.clip_norm, stage.ema_decay, run.seed, run.limit, shapes):016x}"


def _save(path, model, named, optimiser, average, progress) -> None:
    """One safetensors file: weights, AdamW's moments, the average; the JSON of `progress` is its metadata."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in named.items():
        for part, tensor in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser/{part}/{name}"] = tensor
    if average:
        tensors |= {f"average/{name}": tensor for name, tensor in average.values.items()}
    # cloned: safetensors refuses tensors that share memory (tied embeddings)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"progress": json.dumps(progress)})


def _load(path, model, named, optimiser, average) -> dict:
    """Put a checkpoint back, in each tensor's own memory format, and return `progress`."""
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads(file.metadata()["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except Exception as error:
        raise UserError(f"the checkpoint {path} cannot be read ({error}); delete it to start the stage anew") from error
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(tensors[f"model/{name}"])
        for name, parameter in named.items():
            parts = [part for part in ("step", "exp_avg", "exp_avg_sq") if f"optimiser/{part}/{name}" in tensors]
            state = {part: tensors[f"optimiser/{part}/{name}"] for part in parts}  # empty: never had a gradient
            moments = {part: torch.empty_like(parameter).copy_(state[part]) for part in parts if part != "step"}
            optimiser.state[parameter] = state | moments
        if average:
            average.updates = progress["step"]
            for name, tensor in average.values.items():
                tensor.copy_(tensors[f"average/{name}"])
    return progress
