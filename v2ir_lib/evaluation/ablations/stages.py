"""Training what rows share: one phase at a time, each once, each kept in the cache under its key."""

import shutil

from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.rows import Stage
from v2ir_lib.evaluation.regression import L1, start_regression
from v2ir_lib.files import write_json
from v2ir_lib.plm.loss import Loss
from v2ir_lib.plm.outcome import RECORD, write_unet
from v2ir_lib.plm.start import start_unet
from v2ir_lib.plm.train import train
from v2ir_lib.weights import read_json

RECENT = 100  # last steps whose mean loss is written down


def is_trained(lab: Lab, stage: Stage) -> bool:
    """Whether what a stage leaves is in the cache."""
    return (lab.folder(stage) / RECORD).is_file()


def train_stage(lab: Lab, stage: Stage) -> dict:
    """Train one stage and leave its UNet in the cache; what was written of it. The one before it must be there.

    Stopped, it goes on from its last checkpoint. Raises `UserError` for a loss that is not a number or a full disk,
    `KeyboardInterrupt` once Ctrl-C or SIGTERM has been saved.
    """
    out = lab.folder(stage)
    if is_trained(lab, stage):
        return read_json(out / RECORD)
    phase, data, begun = lab.phase(stage), lab.data(stage), _begun(lab, stage)
    loss = L1() if stage.network == "regression" else _eq1(lab, phase)
    about = {"key": lab.stage_key(stage)}
    progress = train(begun, phase, data, loss, seed=stage.seed, folder=out / "checkpoints", about=about)
    write_unet(begun, out, lora=phase.trains == "lora")
    recent = progress.losses[-RECENT:]
    record = {
        "phase": stage.phase,
        "seed": stage.seed,
        "steps": progress.step,
        "learning_rate": phase.settings.learning_rate,
        "trained_parameters": progress.trained_parameters,
        "loss": round(sum(recent) / len(recent), 6),
        "seconds": round(progress.seconds, 1),
        "key": lab.stage_key(stage),
    }
    write_json(out / RECORD, record)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)  # they have served
    return record


def _begun(lab: Lab, stage: Stage):
    """The network as a stage begins: the base model's or the stage before's weights, what it trains asking for them."""
    before = lab.folder(stage.after) / "unet" if stage.after else None
    if stage.network == "regression":
        return start_regression(stage.seed, before)
    start = before or lab.base
    return start_unet(lab.profile, lab.phase(stage), lab.encoders.models, start, stage.seed)


def _eq1(lab: Lab, phase) -> Loss:
    return Loss(phase, lab.encoders.scaling_factor, lab.encoders.text([""]))
