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
