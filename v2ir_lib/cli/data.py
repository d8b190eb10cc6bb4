"""`v2ir data`: import, merge, audit, split, shard (paper §4)."""

import json
from pathlib import Path
from typing import Annotated

import typer

from v2ir_lib.cli.options import AsJson

data = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@data.command("import")
def data_import(
    kind: Annotated[
        str,
        typer.Argument(
            help="flir-v1, flir-v2, flir-aligned, kaist, llvip, m3fd, msrs, dronevehicle, vtuav, lsotb-tir, aviid, "
            "ir-500k; paired or infrared for plain folders."
        ),
    ],
    root: Annotated[Path, typer.Argument(help="The dataset's folder; its pictures stay where they are.")],
    out: Annotated[Path, typer.Option(help="The manifest: .parquet or .csv.")],
    grey: Annotated[
        str, typer.Option("--range", help="14- and 16-bit infrared to 8 bits: by image, or by sequence.")
    ] = "image",
    stride: Annotated[int, typer.Option(help="Video: every n-th frame of each sequence.")] = 1,
    raw: Annotated[
        bool, typer.Option("--raw", help="FLIR: the 14- or 16-bit files in place of the 8-bit ones.")
    ] = False,
    band: Annotated[str, typer.Option(help="nir, swir, mwir or lwir, where the importer cannot know it.")] = "",
    no_hashes: Annotated[bool, typer.Option("--no-hashes", help="Faster; but equal files are then not found.")] = False,
    as_json: AsJson = False,
) -> int:
    """Turn a dataset's folder into a manifest; files that do not pair are listed in OUT.unpaired.csv.

    Example:  v2ir data import kaist datasets/kaist --stride 20 --out manifests/kaist.parquet
    """
    from v2ir_lib.data.importing import import_dataset, show

    summary = import_dataset(kind, root, out, grey=grey, stride=stride, raw=raw, band=band, hashes=not no_hashes)
    if as_json:
        print(json.dumps(summary.as_dict(), indent=2, ensure_ascii=False))
    else:
        show(summary)
    return 0


@data.command("merge")
def data_merge(
    manifests: Annotated[list[Path], typer.Argument(help="Two or more: CSV or Parquet.")],
    out: Annotated[Path, typer.Option(help="One manifest with the rows of all: .parquet or .csv.")],
    as_json: AsJson = False,
) -> int:
    """Put several manifests into one, so that audit and split see all data sets together. Pictures stay where they are.

    Example:  v2ir data merge kaist.parquet llvip.parquet own.csv --out all.parquet
    """
    from v2ir_lib.data.merging import merge_manifests

    summary = merge_manifests(manifests, out)
    print(json.dumps(summary.as_dict(), indent=2, ensure_ascii=False) if as_json else "\n".join(summary.lines()))
    return 0


@data.command("audit")
def data_audit(
    manifest: Annotated[Path, typer.Argument(help="CSV or Parquet: id, group, visible, infrared.")],
    out: Annotated[Path, typer.Option(help="The table of verdicts (.parquet); links go to OUT_links.parquet.")],
    report: Annotated[Path | None, typer.Option(help="An HTML page with the worst of each kind.")] = None,
    good: Annotated[Path | None, typer.Option(help="A manifest without the bad rows; nothing is deleted.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; without it, one for each core.")] = None,
    as_json: AsJson = False,
) -> int:
    """Find damaged, empty, framed, coloured, inverted, shifted and repeated pictures, and what leaks across splits.

    Example:  v2ir data audit manifest.parquet --out audit.parquet --report audit.html --good good.parquet
    """
    from v2ir_lib.data.audit import audit_manifest
    from v2ir_lib.data.audit.summary import lines

    summary = audit_manifest(manifest, out, report=report, good=good, workers=workers).summary()
    print(json.dumps(summary, indent=2, ensure_ascii=False) if as_json else "\n".join(lines(summary)))
    return 0


@data.command("split")
def data_split(
    manifest: Annotated[Path | None, typer.Argument(help="CSV or Parquet; not needed with --check --names.")] = None,
    out: Annotated[Path | None, typer.Option(help="The split file, a CSV of id, group, split and hashes.")] = None,
    fractions: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "0.9,0.05,0.05",
    links: Annotated[Path | None, typer.Option(help="Duplicates, as v2ir data audit found them (Parquet).")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="A file of names, or a dataset such as M3FD; again.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same split.")] = 0,
    looks: Annotated[bool, typer.Option(help="Where no sequence is known, join pictures that look alike.")] = True,
    check: Annotated[
        bool, typer.Option("--check", help="Report leakage instead; exit code 1 if there is any.")
    ] = False,
    split: Annotated[Path | None, typer.Option(help="With --check: this split, not the manifest's own.")] = None,
    names: Annotated[Path | None, typer.Option(help="With --check: a seeds.json, split by position.")] = None,
    as_json: AsJson = False,
) -> int:
    """Split a manifest so that no sequence, scene or duplicate is on both sides; or check a split for leakage.

    Example:  v2ir data split manifest.parquet --out split.csv --exclude M3FD --exclude FLIR

    Example:  v2ir data split manifest.parquet --check --split split.csv

    Example:  v2ir data split --check --names seeds.json
    """
    from v2ir_lib.data.publishing import run_check, run_split

    if check:
        report = run_check(manifest, split=split, names=names, links=links, fractions=fractions)
    else:
        report = run_split(
            manifest, out, fractions=fractions, links=links, exclude=exclude or (), seed=seed, by_looks=looks
        )
    print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) if as_json else "\n".join(report.lines()))
    return 1 if check and report.leaks else 0


@data.command("shard")
def data_shard(
    manifest: Annotated[Path | None, typer.Argument(help="CSV or Parquet; not needed with --verify.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for shards and index; shards that are whole are kept.")] = ...,
    split: Annotated[Path | None, typer.Option(help="A split file: each part gets shards of its own.")] = None,
    size: Annotated[int, typer.Option(help="Rows in a shard.")] = 1000,
    workers: Annotated[int | None, typer.Option(help="Processes; without it, one for each core.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER: a further file for each row; again.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read all shards again and compare checksums.")] = False,
    as_json: AsJson = False,
) -> int:
    """Write a manifest's pictures into webdataset shards with a Parquet index. Stop it at will: it continues.

    Example:  v2ir data shard manifest.parquet --out shards --split split.csv --column segments=out/segments

    Example:  v2ir data shard --out shards --verify
    """
    from v2ir_lib.data.shards import run_shards

    report = run_shards(manifest, out, verify=verify, split=split, size=size, workers=workers, columns=column or ())
    print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) if as_json else "\n".join(report.lines()))
    return 0
