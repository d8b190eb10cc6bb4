"""What the audit can say about a row: codes for machines, a heading for people, and whether the row is set aside."""

from dataclasses import dataclass, field

HEADINGS = {  # in the order of a report; the first part sets a row aside
    "missing": "Files that are not there",
    "unreadable": "Files that are no picture",
    "truncated": "Files that are cut short",
    "black": "All-black or all-white frames",
    "constant": "Constant frames",
    "border": "Black or white frames around a picture",
    "colour_mapped": "Infrared in false colours",
    "inverted": "Polarity unlike the rest of the sequence",
    "misaligned": "Infrared that lies beside the visible picture",
    "size": "Sizes that do not fit each other",
    "duplicate": "The same pair again",
    "leak": "The same picture on both sides of a split",
    "other_group": "The same picture in another group or data set",
    "changed": "Files that changed since the import",
    "odd_size": "Sizes unlike the data set's",
    "faint": "Hardly any contrast",
    "thin_border": "Thin lines at the edge",
    "offset": "Slightly off",
    "near": "Nearly the same picture in one group",
    "kept": "First of several copies: kept",
}
NOTES = ("changed", "odd_size", "faint", "thin_border", "offset", "near", "kept")


@dataclass(frozen=True)
class Reason:
    """One finding. `severity` orders the report: larger is worse."""

    code: str
    words: str
    severity: float = 0.0
    other: int = -1  # the row it is like


@dataclass
class Finding:
    """All that was found about one row."""

    reasons: list[Reason] = field(default_factory=list)

    def add(self, code: str, words: str, severity: float = 0.0, other: int = -1) -> None:
        """Add a reason; `code` is one of `HEADINGS`."""
        if code not in HEADINGS:
            raise ValueError(f"unknown reason {code}")
        self.reasons.append(Reason(code, words.replace(";", ","), severity, other))

    @property
    def verdict(self) -> str:
        """ok, note, or bad."""
        codes = {reason.code for reason in self.reasons}
        return "bad" if codes - set(NOTES) else "note" if codes else "ok"

    @property
    def text(self) -> str:
        """`code: words; code: words`."""
        return "; ".join(f"{reason.code}: {reason.words}" for reason in self.reasons)
