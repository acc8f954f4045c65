"""Privacy: few texts of the version contain e-mail addresses, phone numbers or secrets.

The patterns find what is easy to find; that they find nothing does not prove that there is nothing.
"""

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from evenkeel.expectations.expectation import AtMost, ExampleRow, Measurement, NotApplicable, Offender, Shown
from evenkeel.expectations.wording import percent

if TYPE_CHECKING:
    import pandas as pd

PATTERNS = {
    "email": re.compile(
        r"\b[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}\b"
    ),
    "phone": re.compile(
        r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w.])|(?<![\w.])\+\d{10,14}(?!\w)"
    ),
    "secret": re.compile(
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS access key
        r"|\bgh[pousr]_[A-Za-z0-9]{36}\b"  # GitHub token
        r"|\bxox[abprs]-[A-Za-z0-9-]{20,}"  # Slack token
        r"|\bsk-[A-Za-z0-9_-]{32,}"  # model provider key
        r"|\bAIza[0-9A-Za-z_-]{35}\b"  # Google API key
        r"|-----BEGIN (?:RSA |EC |OPENSSH |DSA |PGP )?PRIVATE KEY"
    ),
}


def mask(words: str) -> str:
    """Return text in which every match of a pattern is shortened to its first characters."""
    for pattern in PATTERNS.values():
        words = pattern.sub(lambda match: masked(match.group()), words)
    return words


def masked(match: str) -> str:
    """Return the first three characters of a match and how long it is."""
    return f"{match[:3]}… ({len(match)} characters)"


class PatternRate(AtMost):
    """Few texts of the version match a pattern: e-mail address, phone number or secret (key, token, private key)."""

    concern: ClassVar[str] = "privacy"
    table: ClassVar[str] = "patterns"
    shown_as: ClassVar[Shown] = "share"

    expect: Literal["pattern_rate"] = "pattern_rate"
    pattern: Literal["email", "phone", "secret"] = Field(description="What is searched for.")
    at_most: float = Field(0.01, ge=0, le=1, description="Largest share of texts with a match.")

    def sentence(self) -> str:
        noun = {"email": "an e-mail address", "phone": "a phone number", "secret": "a key, token or private key"}
        return f"at most {percent(self.at_most)} of the texts hold {noun[self.pattern]}"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = table[table["pattern"] == self.pattern]
        if rows.empty or rows["rows"].sum() == 0:
            raise NotApplicable("the version has no text columns")
        columns = sorted(rows.to_dict("records"), key=lambda row: -row["hits"])
        offenders = [
            Offender(
                scope="column",
                name=str(row["column"]),
                why=f"{row['hits']:,} of {row['rows']:,} texts ({percent(row['hits'] / max(row['rows'], 1))})",
                examples=tuple(ExampleRow(text=text) for text in row["examples"]),
            )
            for row in columns
            if row["hits"]
        ]
        return Measurement(max(row["hits"] / max(row["rows"], 1) for row in columns), offenders=offenders)
