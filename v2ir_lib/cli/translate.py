"""`v2ir translate`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from v2ir_lib.cli.options import AsJson
from v2ir_lib.diffusion.settings import FAST, PAPER_EVALUATIONS
from v2ir_lib.diffusion.settings import fast as fast_settings


def translate(
    input: Annotated[Path, typer.Argument(help="An image, or a folder of images (its sub-folders too).")],
    output: Annotated[Path, typer.Argument(help="A file for a file, a folder for a folder; created.")],
    model: Annotated[Path | None, typer.Option(help="A pipeline folder; without it, the shipped tiny one.")] = None,
    steps: Annotated[int | None, typer.Option(help="Sampling steps; without it, the model's own default.")] = None,
    s_text: Annotated[float | None, typer.Option(help="Guidance scale of the text, Eq. 2.")] = None,
    s_visible: Annotated[float | None, typer.Option(help="Guidance scale of the visible image.")] = None,
    s_segments: Annotated[float | None, typer.Option(help="Guidance scale of the segmentation map.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed and settings, same bytes.")] = 0,
    prompt: Annotated[str | None, typer.Option(help="Used in place of the prompt made from BLIP's caption.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make outputs again that are there.")] = False,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help=f"{FAST.sampler} in {FAST.steps} steps: {FAST.evaluations} UNet evaluations for an image at the tiny "
            f"model's own scales, where the paper takes {PAPER_EVALUATIONS}. Measured as good on that model only.",
        ),
    ] = False,
    sampler: Annotated[
        str | None,
        typer.Option(help="euler-ancestral (the paper's), ddim, dpm++2m, dpm++2m-sde, unipc or heun."),
    ] = None,
    order: Annotated[
        str | None, typer.Option(help="paper (image before segments, Eq. 2) or released, as the authors' code.")
    ] = None,
    guidance_from: Annotated[
        float | None, typer.Option(help="Guide below this noise level only; the first is 14.6.")
    ] = None,
    guidance_to: Annotated[float | None, typer.Option(help="Guide above this noise level only; the last is 0.")] = None,
    rescale: Annotated[
        float | None, typer.Option(help="0 to 1: takes back the contrast that strong guidance adds.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="More than 1: the mean of so many, and in NAME.spread.png where they differ.")
    ] = 1,
    size: Annotated[int | None, typer.Option(help="Pixels, side of the square whose area is worked at.")] = None,
    tile: Annotated[
        int | None, typer.Option(help="Pixels: large images at their own size, in squares of this side.")
    ] = None,
    overlap: Annotated[int | None, typer.Option(help="Pixels that neighbouring tiles share; a quarter of one.")] = None,
    as_json: AsJson = False,
) -> int:
    """Turn visible images into infrared ones, of the same size, each with a JSON that says how it was made.

    An image that cannot be read is named and skipped; the rest goes on, and the exit code is then 2.

    Example:  v2ir translate photographs/ infrared/ --steps 20 --seed 7
    """
    from v2ir_lib.diffusion.translate import translate_folder

    if fast:
        chosen = fast_settings(steps=steps, sampler=sampler, guidance_from=guidance_from, guidance_to=guidance_to)
        sampler, steps = chosen["sampler"], chosen["steps"]
    optional = {
        "sampler": sampler,
        "order": order,
        "guidance_from": guidance_from,
        "guidance_to": guidance_to,
        "rescale": rescale,
        "size": size,
        "tile": tile,
        "overlap": overlap,
        "seeds": seeds if seeds != 1 else None,
    }
    summary = translate_folder(
        input,
        output,
        model=model,
        steps=steps,
        s_text=s_text,
        s_visible=s_visible,
        s_segments=s_segments,
        seed=seed,
        prompt=prompt,
        batch_size=batch_size,
        device=device,
        overwrite=overwrite,
        **{name: value for name, value in optional.items() if value is not None},
    )
    if as_json:
        print(json.dumps(summary.as_dict(), indent=2, ensure_ascii=False))
    return summary.exit_code
