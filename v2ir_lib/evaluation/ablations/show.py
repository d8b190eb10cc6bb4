"""A table for people: our figures with their intervals, and the paper's in columns of their own."""

from v2ir_lib.evaluation.ablations.plan import Job, in_words
from v2ir_lib.evaluation.ablations.tables import Table

OURS, THEIRS = (
    "{psnr:>6s} {psnr_in:16s} {ssim:>6s} {aligned:>8s} {edges:>6s} {fd:>8s}",
    "{psnr:>6s} {ssim:>7s} {fid:>7s}",
)


def plan_lines(jobs: list[Job]) -> list[str]:
    """What is to be done, with estimated minutes."""
    lines = [f"{job.seconds / 60:7.1f} min  {job.label}" for job in jobs]
    total = sum(job.seconds for job in jobs)
    return [
        *lines,
        f"{total / 60:7.1f} min  in all ({in_words(total)} on one thread); what is in the cache is left out",
    ]


def table_lines(table: Table, report: dict) -> list[str]:
    """One line a row, then one a contrast; the paper's columns are empty where it has no such row."""
    lines = [f"{table.name}, budget {report['budget']}, ours: tiny, simulated scenes; paper: M³FD"]
    head = OURS.format(psnr="PSNR", psnr_in="95% interval", ssim="SSIM", aligned="aligned", edges="edges", fd="FD-tiny")
    theirs = THEIRS.format(psnr="PSNR", ssim="SSIM", fid="FID")
    lines.append(f"{'row':17s} {'':44s} {head} | {theirs if table.printed else ''}".rstrip(" |"))
    for row in report["rows"]:
        lines.append(f"{row['row']:17s} {row['about'][:44]:44s} {_ours(row)} | {_theirs(table, row)}".rstrip(" |"))
    contrasts = report["contrasts"] or _against(report, table)
    if contrasts:
        lines.append("differences in PSNR, paired by scene and seed")
    for entry in contrasts:
        d = entry["psnr"]["all"]
        what = entry.get("about") or f"{entry['row']} against {entry['minus']}"
        pair = f"({entry['row']} − {entry['minus']})"
        lines.append(f"  {what:52s} {pair:24s} {d['mean']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]  {d['verdict']}")
    return lines


def markdown_rows(table: Table, report: dict) -> list[str]:
    """A table's rows as the README has them: ours with intervals over scenes, seeds, the paper's figures in italics."""
    lines = []
    for row in report["rows"]:
        psnr, ssim = row["psnr"]["all"], row["ssim"]["all"]
        edges, fd, printed = row["edge_agreement"]["all"]["mean"], row["fd_tiny"], table.printed.get(row["row"])
        cells = [
            f"{row['row']}: {row['about']}",
            f"{psnr['mean']:.2f} [{psnr['low']:.2f}, {psnr['high']:.2f}]",
            f"{ssim['mean']:.3f} [{ssim['low']:.3f}, {ssim['high']:.3f}]",
            f"{edges:.2f}",
            f"{fd['mean']:.1f}" if fd else "–",
            str(len(row["seeds"])),
            *([f"*{printed.psnr:.2f}*", f"*{printed.ssim:.4f}*", f"*{printed.fid:.2f}*"] if printed else ["", "", ""]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _against(report: dict, table: Table) -> list[dict]:
    return report.get(f"against_{table.reference.replace(' ', '_')}", [])


def _ours(row: dict) -> str:
    psnr, fd = row["psnr"]["all"], row["fd_tiny"]
    return OURS.format(
        psnr=f"{psnr['mean']:.2f}",
        psnr_in=f"[{psnr['low']:.2f}, {psnr['high']:.2f}]",
        ssim=f"{row['ssim']['all']['mean']:.4f}",
        aligned=f"{row['psnr_aligned']['all']['mean']:.2f}",
        edges=f"{row['edge_agreement']['all']['mean']:.3f}",
        fd=f"{fd['mean']:.3f}" if fd else "–",
    )


def _theirs(table: Table, row: dict) -> str:
    printed = table.printed.get(row["row"])
    if printed is None:
        return ""
    return THEIRS.format(psnr=f"{printed.psnr:.2f}", ssim=f"{printed.ssim:.4f}", fid=f"{printed.fid:.2f}")
