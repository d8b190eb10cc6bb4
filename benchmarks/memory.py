"""The table of phase × way × batch → memory on a GPU, computed, and ways down to each card. Writes results/memory.json.

About a minute, on any machine: nothing of full size is made.
"""

from v2ir_lib.diffusion.memory import table
from v2ir_lib.evaluation.provenance import provenance
from v2ir_lib.files import repo_root, write_json
from v2ir_lib.profiles import FULL


def main() -> None:
    report = table(FULL)
    about = (
        "GB on a GPU to train each phase at full size: computed, not measured (v2ir_lib/diffusion/memory.py says how)"
    )
    write_json(repo_root() / "results" / "memory.json", {"about": about, "provenance": provenance(0)} | report)
    for entry in report["ways_down"]:
        how = f"batch {entry['batch']}, {entry['total']} GB {' '.join(entry['switches'])}" if entry["fits"] else "-"
        print(f"{entry['card_gb']} GB, {entry['phase']}: {how}")


if __name__ == "__main__":
    main()
