"""`v2ir train`: three commands with the same options, one for each phase."""

import json
from pathlib import Path
from typing import Annotated

import typer

train = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

WHAT = {
    "phase1": """What does "infrared" mean? LoRA on the text-to-image UNet, from infrared pictures alone.

    Leaves lora/ (the matrices) and unet/ (merged, the start of phase 2). Give the same command again after a stop.

    Example:  v2ir train phase1 --out out/phase1
    """,
    "phase2": """From visible to infrared, from pairs of any cameras: the UNet of 12 channels, all of it.

    Leaves unet/, the start of phase 3; with --pipeline a folder for v2ir translate. Give the same command again after
    a stop: it goes on.

    Example:  v2ir train phase2 --model out/phase1 --out out/phase2
    """,
    "phase3": """One camera's style, from few pairs. Leaves a folder for v2ir translate --model.

    Give the same command again after a stop: it goes on.

    Example:  v2ir train phase3 --model out/phase2 --manifest pairs.csv --out out/mine
    """,
}


def _command(name: str) -> None:
    def command(
        out: Annotated[Path, typer.Option(help="Folder of the run and of what it leaves; created.")],
        profile: Annotated[str, typer.Option(help="tiny or full.")] = "tiny",
        model: Annotated[
            str | None,
            typer.Option(
                help="Start: folder of a UNet, a pipeline, a LoRA or an earlier run, or 'random'; without it, the "
                "shipped one."
            ),
        ] = None,
        manifest: Annotated[
            Path | None, typer.Option(help="CSV or Parquet with visible, infrared, group, split: your own pictures.")
        ] = None,
        dataset: Annotated[str | None, typer.Option(help="Use this dataset's rows of the manifest only.")] = None,
        split: Annotated[str, typer.Option(help="The manifest's rows to use; rows without a split are used too.")] = (
            "train"
        ),
        pack: Annotated[
            str | None, typer.Option(help="Scenes of the simulated world; without it, the phase's own.")
        ] = None,
        limit: Annotated[int | None, typer.Option(min=1, help="Use the first scenes only.")] = None,
        steps: Annotated[int | None, typer.Option(min=1, help="Steps; without it, the profile's.")] = None,
        batch_size: Annotated[int | None, typer.Option(min=1, help="Samples a step, over all processes.")] = None,
        accumulation: Annotated[
            int | None, typer.Option(min=1, help="Parts in which a process takes its share: less memory.")
        ] = None,
        learning_rate: Annotated[float | None, typer.Option(help="AdamW's; without it, the profile's.")] = None,
        first_rate: Annotated[
            float | None,
            typer.Option(
                help="Learning rate of the first convolution over the rest's; 10 where its new channels begin at zero."
            ),
        ] = None,
        dropout_scheme: Annotated[
            str | None, typer.Option(help="How conditions go missing: released (default) or paper.")
        ] = None,
        seed: Annotated[int, typer.Option(help="Same seed and settings, same bytes on the CPU.")] = 0,
        device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
        mixed_precision: Annotated[str, typer.Option(help="no, bf16 or fp16.")] = "no",
        gradient_checkpointing: Annotated[
            bool, typer.Option("--gradient-checkpointing", help="Less memory, about a third more time.")
        ] = False,
        optimizer: Annotated[
            str, typer.Option(help="adamw, or adamw8bit: moments in 8 bits, by bitsandbytes (installed apart).")
        ] = "adamw",
        lora: Annotated[
            int | None,
            typer.Option(min=1, help="Rank of LoRA; it alone trains, with the first convolution from phase 2 on."),
        ] = None,
        ema_on_cpu: Annotated[
            bool, typer.Option("--ema-on-cpu", help="Keep the average of the weights out of the GPU's memory.")
        ] = False,
        log: Annotated[Path | None, typer.Option(help="Folder for TensorBoard.")] = None,
        every: Annotated[int, typer.Option(min=0, help="Steps between sample sheets in the log; 0: none.")] = 0,
        pipeline: Annotated[bool, typer.Option("--pipeline", help="Phase 2 too leaves a whole pipeline.")] = False,
        resume: Annotated[
            bool, typer.Option("--resume", help="Insist on a run to go on with; one that is there is continued anyway.")
        ] = False,
        seconds_between_checkpoints: Annotated[
            float, typer.Option("--save-every", min=0, help="Seconds between checkpoints.")
        ] = 120.0,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
    ) -> int:
        given = locals()
        from v2ir_lib.plm.run import Options, train_phase

        options = Options(**{key: given[key] for key in given.keys() & Options.__dataclass_fields__.keys()})
        record = train_phase(name, options)
        if as_json:
            print(json.dumps(record, indent=2, ensure_ascii=False))
        else:
            print(
                f"{name}: {record['steps']} steps, loss {record['loss']}, {record['images_per_second']} images/s; "
                f"left in {out}"
            )
        return 0

    train.command(name, help=WHAT[name])(command)


for _name in WHAT:
    _command(_name)
