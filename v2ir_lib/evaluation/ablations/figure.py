"""Two pictures of a table: which trainings its rows share, and what its rows make of the same scenes.

The second is committed, since the translations themselves are in the cache of the machine that made them:

    python -m v2ir_lib.evaluation.ablations.figure
"""

import io
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import typer
from matplotlib.figure import Figure
from PIL import Image

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.ablations.answers import translations
from v2ir_lib.evaluation.ablations.budgets import BUDGETS
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.rows import Row, Stage, last_stage
from v2ir_lib.evaluation.ablations.stages import is_trained
from v2ir_lib.evaluation.ablations.tables import TABLES, Table
from v2ir_lib.evaluation.baselines import inverted_grey
from v2ir_lib.figures import ACCENT, INK, MUTED, STYLE, picture_grid
from v2ir_lib.files import atomic_path, repo_root

KINDS = ("day", "dusk", "night", "fog")  # one scene of each is shown
QUALITY = 82  # of the JPEG: four scenes stay below 150 KB
PLACES = {"phase1": 1, "phase2": 2, "phase3": 3}


def stages_of(rows: tuple[Row, ...], seed: int = 0) -> dict[Stage, list[str]]:
    """Every training that these rows need, once, and the rows that use it."""
    users: dict[Stage, list[str]] = {}
    for row in rows:
        last = last_stage(row, seed)
        for stage in last.chain() if last else []:
            users.setdefault(stage, []).append(row.name)
    return users


def stage_graph(rows: tuple[Row, ...], caption: str = "") -> Figure:
    """The trainings of some rows as a tree: the base model left, a row right, each shared training once."""
    users = stages_of(rows)
    height = {row.name: float(number) for number, row in enumerate(_side_by_side(rows, list(users)))}
    level = {stage: float(np.mean([height[name] for name in names])) for stage, names in users.items()}
    root = (0.0, float(np.mean(list(height.values()))))
    place = {None: root} | {stage: (PLACES[stage.phase], level[stage]) for stage in users}
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.8, 0.4 * len(rows) + 0.75))
        for stage, names in users.items():
            (x0, y0), (x1, y1) = place[stage.after], place[stage]
            bend = min(x0 + 0.45, x1)
            axis.plot([x0, bend, x1], [y0, y1, y1], color=MUTED, lw=1, zorder=1)
            shared = len(names) > 1
            axis.text(
                x1,
                y1,
                f"{stage.phase.replace('phase', 'phase ')}{_told(stage)}",
                fontsize=7.5,
                ha="center",
                va="center",
                color="white" if shared else INK,
                bbox=dict(boxstyle="round,pad=0.32", fc=ACCENT if shared else "#ececec", ec="none"),
            )
        for row in rows:
            last = last_stage(row, 0)
            axis.plot([place[last][0], 3.75], [place[last][1], height[row.name]], color=MUTED, lw=1, ls=":", zorder=0)
            axis.text(3.8, height[row.name], f"row {row.name}", va="center", fontsize=8.5, color=INK)
        axis.text(*root, "base\nmodel", ha="center", va="center", fontsize=8, bbox=dict(boxstyle="round", fc="white"))
        axis.set(xlim=(-0.3, 4.2), ylim=(len(rows) - 0.5, -0.6))
        axis.axis("off")
        figure.subplots_adjust(left=0.01, right=0.99, top=1, bottom=0.09)
        figure.text(0.5, 0.01, caption, ha="center", fontsize=8.5, color=MUTED, style="italic")
    return figure


def _side_by_side(rows: tuple[Row, ...], stages: list[Stage]) -> list[Row]:
    """Rows in an order in which those that share a training stand together: no line crosses another."""

    def path(row: Row) -> list[tuple[int, int]]:
        last = last_stage(row, 0)
        return [(-PLACES[stage.phase], stages.index(stage)) for stage in (last.chain() if last else [])]

    return sorted(rows, key=path)


def _told(stage: Stage) -> str:
    if stage.told is None:
        return ""
    parts = [name for name, kind in (("words", stage.told.words), ("maps", stage.told.maps)) if kind != "none"]
    return f", {' + '.join(parts)}" if parts else ""


def chosen_scenes(groups: dict[str, np.ndarray]) -> dict[str, int]:
    """The first scene of each kind, none in fog but the foggy one: chosen by number, not by looks."""
    fog, found = set(groups.get("fog", np.zeros(0, int)).tolist()), {}
    for kind in KINDS:
        members = [int(i) for i in groups.get(kind, []) if (kind == "fog") == (int(i) in fog)]
        if members:
            found[kind] = members[0]
    return found


def write_strip(table: Table, lab: Lab, out: Path, seed: int = 0) -> dict:
    """What every row of a table makes of four scenes, as `out`, a JPEG; what it shows, also in the file's comment.

    The stages must be in the cache: `UserError` otherwise. Translations that are in the cache are read from there.
    """
    rows = [row for row in table.rows if is_trained(lab, last_stage(row, seed))]
    if len(rows) < len(table.rows):
        lacking = ", ".join(row.name for row in table.rows if row not in rows)
        raise UserError(
            f"rows {lacking} are not trained in this cache: run v2ir ablate {table.name} --seeds 1, with an --out of "
            "its own where results/ has these rows already"
        )
    extra = [row for row in table.extra if row.name == "unet" and is_trained(lab, last_stage(row, seed))]
    shown = chosen_scenes(lab.heldout.groups())
    numbers = list(shown.values())
    columns = {"visible": lab.heldout.visible[numbers]}
    columns["inverted grey"] = inverted_grey(columns["visible"])
    for row in (*rows, *extra):
        title = f"row {row.name}" if row.name.isdigit() else "U-Net, L1"
        columns[title] = translations(lab, row, seed)[numbers]
    columns["true"] = lab.heldout.infrared[numbers]
    told = {
        "scenes": shown,
        "seed": seed,
        "columns": list(columns),
        "keys": {row.name: lab.row_key(row, seed) for row in (*rows, *extra)},
    }
    figure = picture_grid(
        [[pictures[k] for pictures in columns.values()] for k in range(len(numbers))],
        columns=list(columns),
        labels=[f"{kind}\nscene {number}" for kind, number in shown.items()],
        cell=1.0,
    )
    _save(figure, out, told)
    return told


def _save(figure: Figure, out: Path, told: dict) -> None:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    plt.close(figure)
    with atomic_path(out) as temporary:
        Image.open(drawn).convert("RGB").save(temporary, quality=QUALITY, comment=json.dumps(told))


def read_comment(path: Path) -> dict:
    """What a strip says of itself: scenes, columns, and the keys of its rows."""
    return json.loads(Image.open(path).info["comment"])


def main(
    out: Path = typer.Option(repo_root() / "results" / "figures" / "table3.jpg", help="The JPEG to write."),
    seed: int = typer.Option(0, help="Seed of the trainings that are shown."),
) -> None:
    """Draw what the rows of Table 3 make of four held-out scenes, from the cache of `v2ir ablate table3`.

    Example: python -m v2ir_lib.evaluation.ablations.figure
    """
    try:
        told = write_strip(TABLES["table3"], Lab(BUDGETS["paper"]), out, seed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(f"{len(told['columns'])} columns of scenes {told['scenes']}; wrote {out}")


if __name__ == "__main__":
    typer.run(main)
