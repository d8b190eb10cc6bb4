"""`v2ir evaluate`: how near translations are to the truth (paper §5.1), and what the usual numbers hide."""

import json
from pathlib import Path
from typing import Annotated

import typer

from v2ir_lib.cli.options import AsJson


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of translations (or one picture).")],
    references: Annotated[Path, typer.Argument(help="Folder of true infrared pictures of the same names.")],
    manifest: Annotated[
        Path | None, typer.Option(help="CSV or Parquet that knows the references: scenes, visible pictures, masks.")
    ] = None,
    visible: Annotated[Path | None, typer.Option(help="Folder of visible pictures of the same names.")] = None,
    inception: Annotated[Path | None, typer.Option(help="Inception's weights, a local file: FID as well.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap: same seed, same intervals.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File for the report as JSON.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compare translations with true infrared: PSNR, SSIM, physics checks, KID and FD, with intervals over scenes.

    With visible pictures also: is it only inverted grey, and do lamps leak in? With a simulated scene's masks: is the
    warmer thing warmer, and the error of each class. In the JSON, infinity is the text "Infinity".

    Example:  v2ir evaluate out/translated data_samples/lwir-radiometric --manifest data_samples/manifest.csv
    """
    from v2ir_lib.evaluation.evaluate import evaluate, lines

    report = evaluate(
        predictions, references, manifest=manifest, visible=visible, inception=inception, seed=seed, out=out
    )
    if as_json:
        print(json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(lines(report)))
    return 0
