"""Every picture that the project draws, in one style: titles say what is shown, axes have units, greys have a bar."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

INK, ACCENT, MUTED = "#222222", "#c1440e", "#7a7a7a"  # text, the thing to look at, everything else
CELL = 1.65  # inches, side of one picture in a grid

STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=[ACCENT, "#2a6f97", "#7a7a7a", "#e0a458", "#4d7c4a", "#6d597a"]),
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": "#dddddd",
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "legend.frameon": False,
}


def use_style() -> None:
    """Make matplotlib draw in the project's style from now on.

    The backend is loaded here. Loaded by the first figure instead, inside `rc_context`, Jupyter's would switch on
    interactive mode only for that figure, and every later one would be drawn and never shown.
    """
    plt.switch_backend(plt.get_backend())
    plt.rcParams.update(STYLE)


def picture_grid(
    rows: Sequence[Sequence[np.ndarray | None]],
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    notes: Sequence[Sequence[str]] = (),
    caption: str = "",
    bar: str = "",
    cell: float = CELL,
    limits: tuple[float, float] = (0, 255),
) -> Figure:
    """A grid of pictures, uint8 (H, W) grey on a common scale 0-255 or (H, W, 3) colour; None leaves a gap.

    Other numbers than grey levels, (H, W), take another common scale: `limits` are what black and white stand for.

    `columns` are titles on top, `labels` stand left of each row, `notes[r][c]` under each picture, `caption` under the
    whole says what to look for. `bar` labels a grey-level bar on the right ("grey level (0-255)").
    """
    height, width = len(rows), max(len(row) for row in rows)
    extra = 0.2 * bool(notes)
    noted = 0.1 * bool(notes)  # inches between the last row's notes and the caption
    left, right, foot = 0.95 * bool(labels), 0.75 * bool(bar), 0.2 + 0.17 * _lines(caption, width, cell) + noted
    size = (width * cell + left + right, height * (cell + extra) + 0.3 * bool(columns) + foot)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(height, width, figsize=size, squeeze=False)
        shown = None
        for r, row in enumerate(rows):
            for c in range(width):
                axis = axes[r][c]
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
                if c >= len(row) or row[c] is None:
                    axis.patch.set_visible(False)  # a gap; at the left it still carries its row's label
                    continue
                image = axis.imshow(row[c], vmin=limits[0], vmax=limits[1])
                shown = image if np.ndim(row[c]) == 2 else shown
                if notes and notes[r][c]:
                    axis.set_xlabel(notes[r][c], fontsize=7.5, labelpad=2)
                if r == 0 and c < len(columns):
                    axis.set_title(columns[c], pad=4)
            if labels:
                axes[r][0].set_ylabel(labels[r], rotation=0, ha="right", va="center", labelpad=5)
        edges = dict(left=left / size[0], right=1 - right / size[0], bottom=foot / size[1], top=1 - 0.3 / size[1])
        figure.subplots_adjust(**edges, wspace=0.03, hspace=0.03 + 0.14 * bool(notes))
        if bar and shown is not None:
            side = figure.add_axes(
                [1 - 0.6 * right / size[0], edges["bottom"], 0.09 / size[0], edges["top"] - edges["bottom"]]
            )
            figure.colorbar(shown, cax=side).set_label(bar)
            side.tick_params(labelsize=7)
        if caption:
            _caption(figure, caption, width, cell, (foot - noted) / size[1])
    return figure


def _lines(caption: str, width: int, cell: float) -> int:
    return len(_wrap(caption, width, cell)) if caption else 0


def _wrap(caption: str, width: int, cell: float) -> list[str]:
    import textwrap

    return textwrap.wrap(caption, max(int(width * cell * 14.5), 40))


def _caption(figure: Figure, caption: str, width: int, cell: float, top: float) -> None:
    text = "\n".join(_wrap(caption, width, cell))
    figure.text(0.5, top * 0.78, text, ha="center", va="top", fontsize=8.5, color=MUTED, style="italic")


def bars(
    values: dict[str, tuple[float, float, float]],
    unit: str,
    caption: str = "",
    highlight: str = "",
    log: bool = False,
    form: str = ".2f",
) -> Figure:
    """Horizontal bars of (value, low, high) with their intervals, in the order given; `highlight` is coloured.

    `log` makes the axis logarithmic, from a third of the least value; `form` is how the values are written.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.2, 0.36 * len(values) + 0.95))
        names = list(values)
        mean, low, high = np.array([values[name] for name in names]).T
        colours = [ACCENT if name == highlight else "#b9b9b9" for name in names]
        axis.barh(names, mean, xerr=[mean - low, high - mean], color=colours, error_kw={"lw": 1, "ecolor": INK})
        axis.set_xlim(0, high.max() * 1.15)
        if log:  # as much room for the values at the right, on this axis
            axis.set(xscale="log", xlim=(low.min() / 3, high.max() * (high.max() / low.min()) ** 0.25))
        for row, value in enumerate(mean):
            note = dict(xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
            axis.annotate(f"{value:{form}}", (high[row], row), **note)
        axis.invert_yaxis()
        axis.set_xlabel(unit)
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        figure.subplots_adjust(left=0.3, right=0.97, top=0.97, bottom=0.62 / (0.36 * len(values) + 0.95))
        if caption:
            figure.text(0.5, 0.0, caption, ha="center", va="bottom", fontsize=8, color=MUTED, style="italic")
    return figure


def curve(steps: Sequence[float], series: dict[str, Sequence[float]], x: str, y: str, caption: str = "") -> Figure:
    """Lines over a common axis, with their names, axis labels and a caption."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.2, 2.6))
        for name, values in series.items():
            axis.plot(steps, values, label=name, lw=1.4)
        axis.set(xlabel=x, ylabel=y)
        axis.grid(axis="y", lw=0.5)
        if len(series) > 1:
            axis.legend(fontsize=8)
        figure.tight_layout(rect=(0, 0.06 if caption else 0, 1, 1))
        if caption:
            figure.text(0.5, 0.0, caption, ha="center", va="bottom", fontsize=8, color=MUTED, style="italic")
    return figure


def lines(
    series: dict[str, tuple[Sequence[float], Sequence[float]]],
    x: str,
    y: str,
    caption: str = "",
    log: str = "",
    dots: Sequence[str] = (),
) -> Figure:
    """Lines that each have an axis of their own, name → (x values, y values): a short run beside a long one.

    `log` names the logarithmic axes ("x", "y", "xy"); the series in `dots` are drawn as points.
    """
    with plt.rc_context(STYLE):
        foot = 0.2 * len(_wrap(caption, 1, 6.6)) if caption else 0
        figure, axis = plt.subplots(figsize=(6.6, 2.7 + foot))
        for name, (across, up) in series.items():
            axis.plot(across, up, "o" if name in dots else "-", ms=3.5, lw=1.4, label=name)
        axis.set(xlabel=x, ylabel=y, **{f"{letter}scale": "log" for letter in log})
        axis.grid(axis="y", lw=0.5)
        if len(series) > 1:
            axis.legend(fontsize=8)
        figure.tight_layout(rect=(0, foot / (2.7 + foot), 1, 1))
        if caption:
            _caption(figure, caption, 1, 6.6, foot / (2.7 + foot))
    return figure


def maps(
    fields: Sequence[np.ndarray],
    titles: Sequence[str],
    units: Sequence[str],
    caption: str = "",
    limits: Sequence[tuple[float, float] | None] = (),
    colours: Sequence[str] = (),
    cell: float = CELL,
) -> Figure:
    """A row of maps (H, W), each with a scale and a bar of its own, and colour pictures, uint8 (H, W, 3), without.

    A map is black at its 0.5th percentile and white at its 99.5th, unless `limits[k]` says otherwise; what lies beyond
    has the bar's pointed ends. `units[k]` labels the bar; `colours[k]` is a matplotlib colour map, "gray" by default.
    """
    with plt.rc_context(STYLE):
        written = 0.17 * _lines(caption, len(fields), cell) + 0.05  # inches of caption
        foot = 0.5 + written  # and of bars
        size = (len(fields) * cell, cell + 0.3 + foot)
        figure, axes = plt.subplots(1, len(fields), figsize=size, squeeze=False)
        edges = dict(left=0.01, right=0.99, bottom=foot / size[1], top=1 - 0.3 / size[1])
        figure.subplots_adjust(**edges, wspace=0.06)
        for k, (field, axis) in enumerate(zip(fields, axes[0], strict=True)):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            axis.set_title(titles[k], pad=4)
            if np.ndim(field) == 3:
                axis.imshow(field)
                continue
            low, high = (limits[k] if limits else None) or np.percentile(field, (0.5, 99.5))
            image = axis.imshow(field, vmin=low, vmax=high, cmap=colours[k] if colours else "gray")
            place = axis.get_position()
            side = figure.add_axes(
                [place.x0 + 0.06 * place.width, place.y0 - 0.16 / size[1], 0.88 * place.width, 0.07 / size[1]]
            )
            figure.colorbar(image, cax=side, orientation="horizontal", extend="both").set_label(units[k], fontsize=7.5)
            side.tick_params(labelsize=7, pad=1)
        if caption:
            _caption(figure, caption, len(fields), cell, written / 0.78 / size[1])
    return figure


def strips(groups: dict[str, Sequence[float]], x: str, caption: str = "") -> Figure:
    """One row a group: each of its values a dot, their mean a stroke; a line at zero, where the sign changes."""
    with plt.rc_context(STYLE):
        foot = 0.5 + 0.2 * len(_wrap(caption, 1, 6.6))
        height = 0.3 * len(groups) + foot + 0.1
        figure, axis = plt.subplots(figsize=(6.6, height))
        axis.axvline(0, color=MUTED, lw=0.8)
        for row, values in enumerate(groups.values()):
            # Dots that would hide one another are spread over the row's height, the same way each time.
            shift = 0.5 * ((np.arange(len(values)) * 0.618) % 1 - 0.5)
            axis.plot(values, row + shift, "o", ms=2.6, color=MUTED, alpha=0.6, mew=0)
            axis.plot([np.mean(values)] * 2, [row - 0.36, row + 0.36], color=ACCENT, lw=2, solid_capstyle="butt")
        axis.set_yticks(range(len(groups)), list(groups))
        axis.set(xlabel=x, ylim=(len(groups) - 0.5, -0.5))
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        figure.subplots_adjust(left=0.27, right=0.97, top=1 - 0.08 / height, bottom=foot / height)
        if caption:
            _caption(figure, caption, 1, 6.6, (foot - 0.45) / height)
    return figure


def forest(
    panels: dict[str, dict[str, dict]], x: str, caption: str = "", names: Sequence[str] = ("", "", "")
) -> Figure:
    """Differences with two intervals each, in panels that have a scale of their own; a line at zero.

    A row is a dict: `mean`, `inner` and `outer` (low, high) or None, `mark` (somebody else's figure) or None, `clear`
    (coloured). `names` says what inner and outer intervals and the marks are.
    """
    counts = [len(rows) for rows in panels.values()]
    with plt.rc_context(STYLE):
        foot, head = 0.62 + 0.2 * len(_wrap(caption, 1, 6.6)), 0.55
        height = 0.27 * sum(counts) + 0.62 * (len(counts) - 1) + foot + head
        figure = plt.figure(figsize=(6.6, height))
        top = height - head
        for (title, rows), count in zip(panels.items(), counts, strict=True):
            axis = figure.add_axes((0.41, (top - 0.27 * count) / height, 0.56, 0.27 * count / height))
            top -= 0.27 * count + 0.62
            axis.axvline(0, color=MUTED, lw=0.8)
            for number, row in enumerate(rows.values()):
                colour = ACCENT if row.get("clear") else INK
                for bounds, width, tone in ((row.get("outer"), 1.0, MUTED), (row.get("inner"), 3.2, colour)):
                    if bounds:
                        axis.plot(bounds, [number] * 2, color=tone, lw=width, solid_capstyle="butt")
                axis.plot(row["mean"], number, "o", ms=5, color=colour, mec="white", mew=0.8)
                if row.get("mark") is not None:
                    axis.plot(row["mark"], number, "D", ms=4.5, color="none", mec="#2a6f97", mew=1.2)
            axis.set_yticks(range(count), list(rows))
            axis.set_ylim(count - 0.5, -0.5)
            axis.set_title(title, loc="left", pad=3)
            axis.tick_params(axis="y", length=0, labelcolor=INK)
            axis.grid(axis="x", lw=0.5)
        axis.set_xlabel(x)
        signs = [
            dict(color=INK, lw=3.2),
            dict(color=MUTED, lw=1),
            dict(color="none", marker="D", mec="#2a6f97", ms=4.5),
        ]
        shown = [plt.Line2D([], [], label=name, **sign) for name, sign in zip(names, signs, strict=True) if name]
        figure.legend(handles=shown, loc="upper right", ncols=3, fontsize=7.5, bbox_to_anchor=(0.98, 1.0))
        if caption:
            _caption(figure, caption, 1, 6.6, (foot - 0.55) / height / 0.78)
    return figure
