"""The command `v2ir`: thin; each sub-command calls one function of the library.

Bad input, the user's or the shell's, ends with one line on stderr and exit code 2. A traceback is a bug of ours.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from v2ir_lib import __version__
from v2ir_lib.cli.ablate import ablate
from v2ir_lib.cli.data import data
from v2ir_lib.cli.evaluation import evaluate
from v2ir_lib.cli.notebooks import notebooks
from v2ir_lib.cli.options import AsJson
from v2ir_lib.cli.translate import translate
from v2ir_lib.errors import UserError
from v2ir_lib.plm.command import train


class _Interruptible(TyperGroup):
    """Ctrl-C as an exception that keeps what it says, such as where a training was saved: typer drops that."""

    def invoke(self, ctx: typer.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            raise typer.Abort(*interruption.args) from interruption


# rich's frames around help and errors would make one clear line several
app = typer.Typer(
    cls=_Interruptible,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
world = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(world, name="world", help="The simulated world that the embedded data comes from.")
app.add_typer(data, name="data", help="Assembling a data set: import, audit, split, shard.")
app.add_typer(train, name="train", help="The three phases of the Progressive Learning Module (paper §3.3).")
app.add_typer(ablate, name="ablate", help="The ablations: Tables 1, 3 and 4 at our size (paper §5.3).")
app.command()(evaluate)
app.command()(notebooks)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 something failed, 2 bad input, 130 interrupted."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=argv, prog_name="v2ir", standalone_mode=False) or 0
    except UserError as error:
        return _fail(str(error), 2)
    except typer.TyperException as error:  # a usage error: an unknown option, a word where a number belongs
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return 0
        return _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, typer.Abort) as interruption:
        return _fail(": ".join(["interrupted", *map(str, interruption.args)]), 130, kind="")
    return code


def _fail(message: str, code: int, kind: str = "error: ") -> int:
    print(kind + " ".join(message.split()), file=sys.stderr)
    return code


def _version(wanted: bool) -> None:
    if wanted:
        print(f"v2ir {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """DiffV2IR, rebuilt step by step: visible images turned into infrared ones.

    Example:  v2ir translate photographs/ infrared/
    """


app.command()(translate)


@app.command()
def annotate(
    manifest: Annotated[Path, typer.Argument(help="A manifest, CSV or Parquet, with visible pictures.")],
    out: Annotated[Path, typer.Option(help="Folder to write to; what is there and still right is kept.")],
    profile: Annotated[str, typer.Option(help="tiny or full.")] = "tiny",
    models: Annotated[Path | None, typer.Option(help="A folder with captioner/ and segmenter/ in it.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one a GPU, or one a CPU core.")] = None,
    rendering: Annotated[str, typer.Option(help="regions, edges, or union as the authors release it.")] = "regions",
    device: Annotated[str, typer.Option(help="cpu, cuda (all GPUs), cuda:1 or auto.")] = "auto",
    nucleus: Annotated[float | None, typer.Option(help="Sample captions with this p (paper: 0.9).")] = None,
    seed: Annotated[int, typer.Option(help="Of sampled captions: same seed, same words.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Captions (BLIP) and segment maps (SAM) for every visible picture of a manifest. Stop it at will: it continues.

    Writes segments/ID.png, captions.parquet, the manifest with captions filled in, and report.json. A picture that
    cannot be read is named and skipped; the rest goes on, and the exit code is then 2.

    Example:  v2ir annotate data/manifest.parquet --out data/annotated --workers 8
    """
    from v2ir_lib.plm.annotate_manifest import annotate_manifest
    from v2ir_lib.profiles import get_profile

    summary = annotate_manifest(
        manifest,
        out,
        get_profile(profile),
        models=models,
        workers=workers,
        rendering=rendering,
        device=device,
        nucleus=nucleus,
        seed=seed,
    )
    print(json.dumps(summary.as_dict(), indent=2, ensure_ascii=False) if as_json else "\n".join(summary.lines()))
    return summary.exit_code


@app.command("convert-official")
def convert_official(
    checkpoint: Annotated[Path, typer.Argument(help="The authors' .ckpt (or the same as .safetensors).")],
    output: Annotated[Path, typer.Argument(help="A new folder, for `v2ir translate --model`.")],
    no_ema: Annotated[bool, typer.Option("--no-ema", help="The weights themselves, not their moving average.")] = False,
    tokenizer: Annotated[Path | None, typer.Option(help="Stable Diffusion v1.5's folder, or its tokenizer's.")] = None,
    captioner: Annotated[
        Path | None, typer.Option(help="BLIP's folder; without it, `translate` needs --prompt.")
    ] = None,
    segmenter: Annotated[Path | None, typer.Option(help="SAM's .pth file; without it, `translate` stops.")] = None,
    as_json: AsJson = False,
) -> int:
    """Turn one of the authors' checkpoints into a folder of safetensors. No code in the file is ever run.

    What a checkpoint does not hold is given, or named by V2IR_STABLE_DIFFUSION; the tokenizer is else fetched once.

    Example:  v2ir convert-official diffv2ir.ckpt models/official --captioner blip --segmenter sam_vit_h_4b8939.pth
    """
    from v2ir_lib.diffusion.official import convert_official
    from v2ir_lib.profiles import get_profile

    sources = {"tokenizer": tokenizer, "captioner": captioner, "segmenter": segmenter}
    given = {part: path for part, path in sources.items() if path is not None}
    done = convert_official(checkpoint, output, averaged=not no_ema, given=given, profile=get_profile("full"))
    if as_json:
        print(json.dumps(done.as_dict(), indent=2, ensure_ascii=False))
    else:
        print(done.summary())
    return 0


@world.command("render")
def world_render(
    count: Annotated[int, typer.Option(min=1, help="How many scenes.")],
    out: Annotated[Path, typer.Option(help="Folder to write to; what is there already is kept.")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    frames: Annotated[int, typer.Option(min=1, help="Consecutive frames of each scene: camera and movers move.")] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; without it, one for each core.")] = None,
    jpeg: Annotated[bool, typer.Option(help="Visible pictures as JPEG: a quarter of the space.")] = False,
) -> int:
    """Render scenes: visible, NIR, SWIR, MWIR and LWIR, masks, captions, descriptions. Stop it at will: it continues.

    Example:  v2ir world render --count 100 --seed 3 --out out/world
    """
    from v2ir_lib.world.folder import render_folder

    render_folder(count, seed, out, workers=workers, frames=frames, jpeg=jpeg)
    return 0


@app.command()
def doctor(as_json: AsJson = False) -> int:
    """What this machine has, what fits on it, what is missing and how to mend it. Exit code 1 if something is.

    Example:  v2ir doctor
    """
    from v2ir_lib.doctor import examine, show

    report = examine()
    if as_json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        show(report)
    return 1 if report["problems"] else 0
