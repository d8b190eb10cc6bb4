"""The tables: which rows each has, what is compared with what, and which weights its figures come from."""

from dataclasses import dataclass, field

from v2ir_lib.errors import UserError
from v2ir_lib.evaluation.ablations.lab import Lab
from v2ir_lib.evaluation.ablations.rows import CONDITIONS, EXTRA, HUNDRED, TABLE3, TABLE4, Row
from v2ir_lib.evaluation.paper_tables import TABLE3 as PRINTED3
from v2ir_lib.evaluation.paper_tables import TABLE4 as PRINTED4
from v2ir_lib.evaluation.paper_tables import Printed
from v2ir_lib.evaluation.provenance import weight_hashes

EVERYTHING = "all"


@dataclass(frozen=True)
class Table:
    """One table. `contrasts`: what a difference of two rows shows, as (words, row, minus row)."""

    name: str
    about: str
    rows: tuple[Row, ...]
    reference: str  # the row that every other one is compared with
    trained: bool  # its rows are trained, from the base model; else they are the shipped model's
    contrasts: tuple[tuple[str, str, str], ...] = ()
    extra: tuple[Row, ...] = ()  # run when they are named, or with "all"
    printed: dict[str, Printed] = field(default_factory=dict)

    def select(self, names: str | None) -> list[Row]:
        """The rows of a list such as "1,9"; without one the table's own; "all" has the extra ones too.

        `UserError` for a name that is none.
        """
        if names is None:
            return list(self.rows)
        known = {row.name: row for row in (*self.rows, *self.extra)}
        if names.strip() == EVERYTHING:
            return list(known.values())
        asked = [name.strip() for name in names.split(",") if name.strip()]
        for name in asked:
            if name not in known:
                raise UserError(f"{self.name} has no row {name!r}: choose among {', '.join(known)}, or {EVERYTHING}")
        if not asked:
            raise UserError(f"no rows are named: choose among {', '.join(known)}, or {EVERYTHING}")
        return [row for name, row in known.items() if name in asked]

    def weights(self, lab: Lab) -> dict[str, str]:
        """SHA-256 of the weights that its figures come from, as they are now."""
        return lab.weights if self.trained else weight_hashes(lab.shipped)


_TABLE3 = Table(
    "table3",
    "paper, Table 3: phases and VLUM on and off, each row trained from the base model and judged on held-out scenes",
    TABLE3,
    reference="9",
    trained=True,
    contrasts=(
        ("phase 1 before phase 2", "2", "1"),
        ("phase 1 before phase 3", "4", "3"),
        ("phase 1 before phases 2 and 3", "6", "5"),
        ("phase 2 before phase 3", "5", "3"),
        ("phase 2 between phases 1 and 3", "6", "4"),
        ("phase 3 after phase 2", "5", "1"),
        ("phase 3 after phases 1 and 2", "6", "2"),
        ("words", "7", "6"),
        ("segments", "8", "6"),
        ("words beside segments", "9", "8"),
        ("segments beside words", "9", "7"),
        ("words and segments", "9", "6"),
        ("segments against words", "8", "7"),
        ("maps of boundaries beside words", "edges", "7"),
        ("released maps beside words", "union", "7"),
        ("regions against released maps", "9", "union"),
        ("perfect words and segments", "oracle", "6"),
        ("perfect against BLIP's and SAM's", "oracle", "9"),
        ("true conditions against another scene's", "9", "placebo"),
        ("another scene's conditions against none", "placebo", "6"),
        ("full method against InstructPix2Pix", "9", "instructpix2pix"),
        ("full method against regression", "9", "unet"),
        ("visible picture alone, diffusion against regression", "5", "unet"),
    ),
    extra=EXTRA,
    printed=PRINTED3,
)
_TABLE4 = Table(
    "table4",
    "paper, Table 4: sampling settings of the shipped model, around its own best, by the paper's ratios",
    TABLE4,
    reference="best",
    trained=False,
    extra=HUNDRED,
    printed=PRINTED4,
)
_CONDITIONS = Table(
    "conditions",
    "the shipped model, told what is true, what is another scene's, or nothing",
    CONDITIONS,
    reference="as trained",
    trained=False,
    contrasts=(
        ("what words add", "as trained", "no words"),
        ("what maps add", "as trained", "no maps"),
        ("what true words add", "true words", "no words"),
        ("what true maps add", "true maps", "no maps"),
        ("own words against another scene's", "as trained", "shuffled words"),
        ("own map against another scene's", "as trained", "shuffled maps"),
        ("own words against the same for all", "as trained", "constant words"),
    ),
)
TABLES = {table.name: table for table in (_TABLE3, _TABLE4, _CONDITIONS)}
