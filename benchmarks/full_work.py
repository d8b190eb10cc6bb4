"""Operations for a picture at full size, counted from shapes on the meta device. Writes results/full_work.json.

Some ten seconds, on any machine: nothing of full size is made.
"""

from dataclasses import asdict

from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.evaluation.work import count_work
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.profiles import FULL


def main() -> None:
    work = asdict(count_work(FULL))
    about = "floating-point operations for one picture at full size: counted from shapes, not measured"
    report = {"about": about, "basis": "computed", "provenance": provenance(0), "image_size": FULL.image_size}
    write_json(repo_root() / "results" / "full_work.json", report | {"operations": work})
    for name, operations in work.items():
        print(f"{name:14s} {operations / 1e9:10.1f} GFLOP")


if __name__ == "__main__":
    main()
