"""From records to a table: means, intervals, differences, and what of them may be believed.

A scene is a sample, and so is a seed. An interval over scenes says what other scenes would give with these models; the
spread over seeds says what other trainings would. A difference is only told apart when it stands against both.
"""

from itertools import pairwise

import numpy as np
from scipy import stats

from v2ir_lib.evaluation.ablations.answers import METRICS
from v2ir_lib.evaluation.ablations.records import DIGITS, groups_of, unpacked
from v2ir_lib.metrics.intervals import bootstrap_interval, paired_interval

LEVEL = 0.95
DRAWS = 0  # seed of the bootstrap


def scores_of(records: list[dict], metric: str) -> np.ndarray:
    """Scores of a row's records, one for each seed: (S, N)."""
    return np.stack([unpacked(record["scores"][metric], DIGITS[metric]) for record in records])


def summary(scores: np.ndarray) -> dict:
    """Mean of scores (S, N) with its interval over scenes, and the mean of each seed with their spread."""
    by_seed = scores.mean(axis=1)
    spread = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
    interval = bootstrap_interval(scores.mean(axis=0), DRAWS, LEVEL).as_dict()
    return interval | {"by_seed": _rounded(by_seed), "sd_over_seeds": _rounded(spread)}


def difference(ours: np.ndarray, theirs: np.ndarray) -> dict:
    """Mean of ours − theirs, both (S, N), seed by seed and scene by scene, and what may be said of it.

    `low`, `high`: 95% bootstrap over scenes of the mean over seeds. `over_seeds`: Student's interval of the S means,
    None for one seed. `verdict`: see `verdict`.
    """
    by_seed = (ours - theirs).mean(axis=1)
    interval = paired_interval(ours.mean(axis=0), theirs.mean(axis=0), DRAWS, LEVEL)
    over = student_interval(by_seed)
    found = interval.as_dict()
    told = verdict(found["mean"], found["low"], found["high"], over)
    return found | {"by_seed": _rounded(by_seed), "over_seeds": _rounded(over), "verdict": told}


def verdict(mean: float, low: float, high: float, over: tuple[float, float] | None) -> str:
    """What a difference says, by its intervals over scenes and over seeds (docs/analysis_plan.md).

    "higher" or "lower" where neither holds zero; "not told apart" where the first does; "within the spread over seeds"
    where only the second does; "one seed" where the first does not and there is no second.
    """
    if low <= 0 <= high:
        return "not told apart"
    if over is None:
        return "one seed"
    if over[0] <= 0 <= over[1]:
        return "within the spread over seeds"
    return "higher" if mean > 0 else "lower"


def student_interval(values: np.ndarray) -> tuple[float, float] | None:
    """95% interval of the mean of a few independent values by Student's t; None for fewer than two."""
    if len(values) < 2:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1)) * error
    return mean - reach, mean + reach


def compare(records: dict[str, list[dict]], pairs: list[tuple[str, str]], *, by_group: bool = False) -> list[dict]:
    """Differences of the named rows, the first minus the second, over the seeds that both have.

    Over all scenes, and with `by_group` in every group of them, too. Pairs of which one is missing are left out.
    """
    found = []
    for ours, theirs in pairs:
        both = _same_seeds(records.get(ours, []), records.get(theirs, []))
        if not both[0]:
            continue
        groups = groups_of(both[0][0]["scenes"]["kinds"])
        groups = groups if by_group else {"all": groups["all"]}
        entry: dict = {"row": ours, "minus": theirs, "seeds": [record["seed"] for record in both[0]]}
        entry["fd_tiny"] = _fd_difference(*([record["fd_tiny"] for record in some] for some in both))
        for metric in METRICS:
            scores = [scores_of(some, metric) for some in both]
            entry[metric] = {name: difference(*(one[:, members] for one in scores)) for name, members in groups.items()}
        found.append(entry)
    return found


def rows_of(records: dict[str, list[dict]]) -> list[dict]:
    """Each row with its flags and, for every metric and group of scenes, its summary over the seeds it has."""
    table = []
    for name, some in records.items():
        first = some[0]
        groups = groups_of(first["scenes"]["kinds"])
        entry = {key: first[key] for key in ("row", "about", "flags", "guidance")}
        entry["seeds"] = [record["seed"] for record in some]
        entry["training"] = [stage | {"row_seed": record["seed"]} for record in some for stage in record["stages"]]
        entry["sampling_seconds"] = [record["seconds"] for record in some]
        entry["fd_tiny"] = _fd_summary([record["fd_tiny"] for record in some])
        for metric in METRICS:
            scores = scores_of(some, metric)
            entry[metric] = {group: summary(scores[:, members]) for group, members in groups.items()}
        table.append(entry | {"row": name})
    return table


def _fd_summary(values: list[float | None]) -> dict | None:
    """FD-tiny of each seed; it is one number for all scenes, so there is no interval over scenes."""
    if None in values:
        return None
    found = np.array(values)
    spread = float(found.std(ddof=1)) if len(found) > 1 else None
    return {"mean": _rounded(float(found.mean())), "by_seed": _rounded(found), "sd_over_seeds": _rounded(spread)}


def _fd_difference(ours: list[float | None], theirs: list[float | None]) -> dict | None:
    if None in (*ours, *theirs):
        return None
    gap = np.array(ours) - np.array(theirs)
    over = _rounded(student_interval(gap))
    return {"mean": _rounded(float(gap.mean())), "by_seed": _rounded(gap), "over_seeds": over}


def order(records: dict[str, list[dict]], printed: dict) -> dict:
    """Kendall's tau between our order of rows and the paper's, for the metrics that both have; 1: the same order."""
    names = [name for name in printed if name in records]
    if len(names) < 3:
        return {}
    found = {}
    for metric in ("psnr", "ssim"):
        ours = [float(scores_of(records[name], metric).mean()) for name in names]
        theirs = [getattr(printed[name], metric) for name in names]
        tau = stats.kendalltau(ours, theirs)
        found[metric] = {"tau": round(float(tau.statistic), 4), "p": round(float(tau.pvalue), 4), "rows": len(names)}
    return found


def neighbours(names: list[str]) -> list[tuple[str, str]]:
    """Each row against the one before it."""
    return [(after, before) for before, after in pairwise(names)]


def _same_seeds(ours: list[dict], theirs: list[dict]) -> tuple[list[dict], list[dict]]:
    known = {record["seed"]: record for record in theirs}
    kept = [record for record in ours if record["seed"] in known]
    return kept, [known[record["seed"]] for record in kept]


def _rounded(value):
    if value is None:
        return None
    return round(value, 4) if isinstance(value, float) else [round(float(one), 4) for one in value]
