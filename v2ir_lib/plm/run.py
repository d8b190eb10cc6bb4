"""What `v2ir train` does: one phase, from a start and scenes, into a folder that the next phase or `translate` takes.

While it runs, `out/checkpoints/` holds the run; a command that was stopped, or killed, goes on from there when it is
given again. When it is done the checkpoints make way for the outcome (`outcome.py`).
"""

import shutil
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from v2ir_lib.diffusion.components import to_device
from v2ir_lib.diffusion.conditions import DROPOUT_SCHEMES
from v2ir_lib.diffusion.lora import base_hash, beside_lora
from v2ir_lib.errors import UserError
from v2ir_lib.plm.cache import fingerprint, weights_fingerprint
from v2ir_lib.plm.checkpoint import checkpoints
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.optimiser import ADAMW, check_optimiser
from v2ir_lib.plm.outcome import RECORD, pipeline_of, write_pipeline, write_record, write_unet
from v2ir_lib.plm.phases import Phase, get_phase
from v2ir_lib.plm.prepare import Encoders, load_data
from v2ir_lib.plm.processes import make_accelerator
from v2ir_lib.plm.samples import sheet_of
from v2ir_lib.plm.sources import PackScenes, Scenes, manifest_scenes
from v2ir_lib.plm.start import frozen_parts, start_unet
from v2ir_lib.plm.train import check_possible, train
from v2ir_lib.profiles import Profile, get_profile
from v2ir_lib.weights import read_json


@dataclass(frozen=True)
class Options:
    """What the person at the keyboard chose. None: as the profile, or the phase, has it."""

    out: Path
    profile: str = "tiny"
    model: str | None = None  # a start, see `start.py`
    manifest: Path | None = None
    dataset: str | None = None  # of the manifest; all without it
    split: str = "train"
    pack: str | None = None  # of the simulated world; the phase's own without it
    limit: int | None = None  # scenes, the first ones
    steps: int | None = None
    batch_size: int | None = None
    accumulation: int | None = None
    learning_rate: float | None = None
    first_rate: float | None = None  # of the first convolution, over the rest's
    dropout_scheme: str | None = None
    seed: int = 0
    device: str = "auto"
    mixed_precision: str = "no"
    gradient_checkpointing: bool = False
    optimizer: str = ADAMW  # see `optimiser.py`
    lora: int | None = None  # rank; trains LoRA in place of the whole UNet
    ema_on_cpu: bool = False
    log: Path | None = None
    every: int = 0
    pipeline: bool = False  # leave a whole pipeline after phase 2, too
    resume: bool = False  # insist that there is a run to go on with
    seconds_between_checkpoints: float = 120.0


def train_phase(name: str, options: Options) -> dict:
    """Train a phase and leave its outcome in `options.out`; returns what `train.json` says.

    A finished run is not repeated. Raises `UserError` for bad options, a start or a folder that does not fit, pictures
    that cannot be read, a full disk, or a loss that is not a number; `KeyboardInterrupt` once Ctrl-C or SIGTERM has
    been saved.
    """
    profile, out = get_profile(options.profile), Path(options.out)
    phase, scenes = _configured(name, profile, options)
    _check_folder(out, options.resume)
    device = str(to_device(options.device))
    check_optimiser(options.optimizer)  # before any of the several processes has its own device
    parts = frozen_parts(profile, phase, options.model)
    unet = start_unet(profile, phase, parts, options.model, options.seed)
    about = {"data": _data_of(scenes, options)}
    unusual = {} if options.optimizer == ADAMW else {"optimizer": options.optimizer}
    run = fingerprint(asdict(phase), options.seed, weights_fingerprint(unet), about | unusual)
    if (out / RECORD).is_file():
        return _finished(out, run)

    accelerator = make_accelerator(device, options.mixed_precision)
    check_possible(accelerator, options.optimizer, options.ema_on_cpu)  # before captions and maps are made
    workers = torch.get_num_threads() if accelerator.num_processes == 1 else 1
    encoders = Encoders(profile, parts, str(accelerator.device), workers=workers)
    with accelerator.main_process_first():  # it fills the cache, the others read it
        data = load_data(scenes, phase, encoders)
    beside = beside_lora(unet).keys()
    untouched = base_hash(unet, beside) if phase.trains == "lora" else None
    if options.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    progress = train(
        unet,
        phase,
        data,
        Loss(phase, encoders.scaling_factor, encoders.text([""])),
        seed=options.seed,
        folder=out / "checkpoints",
        device=device,
        mixed_precision=options.mixed_precision,
        optimizer=options.optimizer,
        ema_on_cpu=options.ema_on_cpu,
        seconds_between_checkpoints=options.seconds_between_checkpoints,
        log_dir=options.log,
        every=options.every,
        draw=sheet_of(phase, data, encoders, options.seed) if options.log and options.every else None,
        about=about,
    )
    if untouched is not None and base_hash(unet, beside) != untouched:
        raise AssertionError(f"{name} changed the base model: only LoRA and the first convolution may train")
    recent = progress.losses[-100:]
    record = {
        "phase": name,
        "profile": profile.name,
        "start": str(options.model or f"shipped, for {name}"),
        "scenes": len(scenes),
        "steps": progress.step,
        "batch_size": phase.settings.batch_size,
        "learning_rate": phase.settings.learning_rate,
        "trained_parameters": progress.trained_parameters,
        "loss": round(sum(recent) / len(recent), 6),
        "seconds": round(progress.seconds, 1),
        "images_per_second": round(progress.step * phase.settings.batch_size / max(progress.seconds, 1e-9), 2),
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
        "pipeline": name == "phase3" or options.pipeline,
        "seed": options.seed,
        "run": run,
        **unusual,
        **({"lora_rank": phase.settings.lora_rank} if options.lora else {}),
    }
    if accelerator.is_main_process:
        unet.disable_gradient_checkpointing()
        write_unet(unet.to("cpu"), out, lora=phase.trains == "lora")
        if record["pipeline"]:
            write_pipeline(pipeline_of(profile, parts, unet), out)
        write_record(out, record)
        shutil.rmtree(out / "checkpoints", ignore_errors=True)  # they have served
    accelerator.wait_for_everyone()
    return record


def _configured(name: str, profile: Profile, options: Options) -> tuple[Phase, Scenes]:
    """The phase with what was chosen in place of the profile's settings, and the scenes it learns from."""
    phase = get_phase(name, profile)
    if options.pipeline and not phase.conditions:
        raise UserError(f"{name} trains a text-to-image model: no pipeline can be made of it, leave out --pipeline")
    if options.manifest is not None and options.pack is not None:
        raise UserError("give a manifest or a pack, not both")
    if options.dataset is not None and options.manifest is None:
        raise UserError("a dataset is chosen out of a manifest: give --manifest too")
    names = ("steps", "batch_size", "accumulation", "learning_rate", "first_rate", "dropout_scheme")
    chosen = {key: getattr(options, key) for key in names if getattr(options, key) is not None}
    if options.lora is not None:
        phase, chosen = replace(phase, trains="lora"), chosen | {"lora_rank": options.lora}
    for key, value in chosen.items():
        if key != "dropout_scheme" and not 0 < value < float("inf"):
            raise UserError(f"{key.replace('_', '-')} must be more than 0, not {value}")
    phase = replace(phase, settings=replace(phase.settings, **chosen))
    lost = DROPOUT_SCHEMES.get(phase.settings.dropout_scheme)
    if lost is None or phase.dropout * len(lost) > 1:
        raise UserError(
            f"dropout scheme {phase.settings.dropout_scheme!r} with {phase.dropout} for each case cannot be: "
            f"choose one of {', '.join(DROPOUT_SCHEMES)}"
        )
    if options.manifest is not None:  # one picture of each scene, by whatever camera
        phase = replace(phase, pack=Path(options.manifest).stem, cameras=("",), looks=1)
        pairs = bool(phase.conditions)
        scenes = manifest_scenes(options.manifest, options.split, pairs=pairs, dataset=options.dataset)
        return phase, replace(scenes, records=scenes.records[: options.limit])
    from v2ir_lib.world.packs import load_pack

    phase = replace(phase, pack=options.pack or phase.pack)
    pack = load_pack(phase.pack, limit=options.limit)
    if pack.radiance is None or (phase.conditions and pack.visible is None):
        lacks = "pairs" if phase.conditions else "infrared pictures"
        raise UserError(f"pack {phase.pack} has no {lacks}: choose another")
    return phase, PackScenes(pack)


def _data_of(scenes: Scenes, options: Options) -> str:
    """What tells this run's scenes from others."""
    return f"{scenes.name}, {len(scenes)} scenes, " + (scenes.fingerprint() if options.manifest else "simulated")


def _check_folder(out: Path, resume: bool) -> None:
    """Before anything costly: is `out` new, or a run's own?"""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to write to")
    known = (out / RECORD).is_file() or bool(checkpoints(out / "checkpoints"))
    if resume and not known:
        raise UserError(f"{out} holds no run to go on with: leave out --resume to begin one")
    others = [path.name for path in out.iterdir() if path.name != "checkpoints"] if out.is_dir() else []
    if others and not known:
        raise UserError(f"{out} is not empty and holds no run ({others[0]}): choose another folder")


def _finished(out: Path, run: str) -> dict:
    """The record of a run that is done, where it is this one."""
    record = read_json(out / RECORD)
    if record.get("run") != run:
        raise UserError(
            f"{out} holds a finished run of {record.get('phase')} (profile {record.get('profile')}, seed "
            f"{record.get('seed')}, {record.get('steps')} steps) that was started otherwise: choose another folder"
        )
    print(f"{out} is done already: nothing was trained", file=sys.stderr)
    return record
