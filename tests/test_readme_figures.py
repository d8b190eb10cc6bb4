"""What the README says was measured is what the result files hold."""

import pytest

from v2ir_lib.evaluation.ablations.show import markdown_rows
from v2ir_lib.evaluation.ablations.tables import TABLES
from v2ir_lib.files import repo_root
from v2ir_lib.weights import read_json

README = (repo_root() / "README.md").read_text(encoding="utf-8")


def result(name: str) -> dict:
    return read_json(repo_root() / "results" / f"{name}.json")


@pytest.mark.parametrize("name", ["table3", "table4"])
def test_the_ablation_tables_are_the_results(name):
    rows = markdown_rows(TABLES[name], result(name))
    assert len(rows) >= len(TABLES[name].rows)
    for row in rows:
        assert row in README, f"the README's {name} is not results/{name}.json: it lacks\n{row}"
    first = rows[0].split("|")[1]
    assert README.count(f"|{first}|") == 1, "an older row stands beside it"


def signed(entry: dict, digits: int, sign: bool = True) -> str:
    """A difference as the README writes it, in dB; `sign` False: how far below it is."""
    ends = [entry["mean"], entry["low"], entry["high"]]
    mean, *ends = ends if sign else (-ends[0], -ends[2], -ends[1])
    low, high = (f"{end:.{digits}f}" for end in ends)
    return f"{mean:.{digits}f} dB [{low}, {high}]".replace("-", "−")


@pytest.mark.parametrize(
    "ours, theirs, digits",
    [("5", "1", 1), ("7", "6", 1), ("6", "4", 2), ("oracle", "9", 1), ("9", "placebo", 1), ("9", "instructpix2pix", 1),
     ("9", "union", 2)],
)  # fmt: skip
def test_what_is_said_of_table_3_is_its_result(ours, theirs, digits):
    [entry] = [one for one in result("table3")["contrasts"] if (one["row"], one["minus"]) == (ours, theirs)]
    assert signed(entry["psnr"]["all"], digits) in README


def test_what_is_said_of_table_4_is_its_result():
    entries = {one["row"]: one["psnr"]["all"] for one in result("table4")["against_best"]}
    verdicts = [one["verdict"] for one in entries.values()]
    assert (
        verdicts.count("lower") == verdicts.count("not told apart") == 5
        and "the other five are not told apart" in README
    )
    assert {"s_V 2.0", "s_T 10.0", "steps 200", "s_S 2.0", "paper's scales"} == {
        name for name, one in entries.items() if one["verdict"] == "lower"
    }
    for name in ("s_V 2.0", "s_T 10.0"):
        assert signed(entries[name], 2) in README
    cost = signed(entries["paper's scales"], 1, sign=False)
    assert f"own scales cost the tiny model {cost}" in README


def test_the_orders_and_the_counts_are_table_3s():
    report = result("table3")
    tau = {metric: one["tau"] for metric, one in report["order_of_rows_and_the_papers"].items()}
    assert f"Kendall's τ = {tau['psnr']:.2f} in PSNR, {tau['ssim']:.2f} in SSIM" in README
    verdicts = [one["psnr"]["all"]["verdict"] for one in report["contrasts"][:12]]
    counted = verdicts.count("higher"), verdicts.count("lower")
    assert counted == (5, 1) and "five come out as the paper claims, one contradicts it, six have no verdict" in README


def test_the_detectors_table_is_its_result():
    entry = result("detector")["groups"]["all"]
    for arm in entry["mean"]["average_precision"]:
        cells = []
        for kind in ("person", "car"):
            found = entry[kind]["average_precision"][arm]
            cells.append(f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]")
        assert f"| {' | '.join(cells)} |" in README, arm


def test_the_sampling_and_the_speed_are_the_results():
    sampling, speed = result("sampling"), result("bench")["tiny"]["by_threads"]
    gap = sampling["confirmed"]["tried"][-1]["minus_recipe"]["psnr"]
    assert f"+{gap['mean']:.2f} dB [{gap['low']:.2f}, {gap['high']:.2f}]".replace("-", "−") in README
    assert f"{sampling['fewest']['evaluations']} evaluations, are as good" in README
    for threads in ("1", "2"):
        for name in ("three_branches_over_four", "ours_over_diffusers_per_evaluation"):
            one = speed[threads][name]
            assert f"{one['ratio']:.2f} [{one['interval'][0]:.2f}, {one['interval'][1]:.2f}]" in README, (threads, name)
