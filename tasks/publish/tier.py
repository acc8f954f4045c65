"""The tier of a version, L0 to L4: the list of what it passed.

The five tiers, from raw to verified, are those of tiered data management (Wang et al. 2026, arXiv 2602.09003); what
each asks for here are gates, and a recipe may say otherwise.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Literal["L0", "L1", "L2", "L3", "L4"]
NAMES: tuple[Name, ...] = ("L0", "L1", "L2", "L3", "L4")
UNTIERED = "L0"
RANKS = {"first-version": 0, "auto": 1, "default": 1, "strict": 2}
Suite = Literal["first-version", "auto", "default", "strict"]


class Requires(BaseModel):
    """What a version must have passed for its tier."""

    model_config = ConfigDict(extra="forbid", title="requires")

    suite: Suite | None = Field(None, description="A suite of gates: this one or a stricter one, none of it left out.")
    approval: bool = Field(False, description="Whether a person must have approved it: gates.approval: required.")
    licences: bool = Field(False, description="Whether licences must be allowed by name: provenance.allow.")
    warnings: int | None = Field(None, ge=0, description="Most warnings; null = any number.")
    gates: list[str] = Field(
        default_factory=list, description="Expectations that must have passed, by name or label, not been skipped."
    )


DEFAULTS: dict[Name, Requires] = {
    "L0": Requires(),
    "L1": Requires(suite="first-version"),
    "L2": Requires(suite="auto"),
    "L3": Requires(suite="strict"),
    "L4": Requires(suite="strict", approval=True, licences=True, warnings=0),
}


class TierConfig(BaseModel):
    """The tier that versions of a recipe shall have, and what it requires."""

    model_config = ConfigDict(extra="forbid", title="tier")

    name: Name = Field(description="L0 to L4; a version that falls short of it is published as L0, with the reasons.")
    requires: Requires | None = Field(
        None,
        description="What a version must have passed. Default: L1 the suite first-version, L2 auto, L3 strict, L4 "
        "strict without a warning, an approval and allowed licences.",
    )

    @model_validator(mode="after")
    def _filled(self) -> Self:
        self.requires = self.requires or DEFAULTS[self.name]
        return self

    @property
    def asked(self) -> Requires:
        """What the tier requires."""
        return self.requires or DEFAULTS[self.name]

    def conflict(self, suite: str, left_out: Iterable[str], approval: str, allowed: Iterable[str]) -> str:
        """Return why no version of a recipe can have the tier, "" where one may.

        suite, left_out, approval: of its gates. allowed: licences.
        """
        asked = self.asked
        if asked.suite is not None and RANKS[suite] < RANKS[asked.suite]:
            return f"it requires the suite {asked.suite}, and gates.suite is {suite}"
        if asked.suite is not None and (gone := list(left_out)):
            return f"it requires all of the suite {asked.suite}, and gates.remove leaves out {', '.join(gone)}"
        if asked.approval and approval != "required":
            return "it requires an approval, and gates.approval is not required"
        if asked.licences and not list(allowed):
            return "it requires allowed licences, and provenance.allow names none"
        return ""


class Verdict(NamedTuple):
    """What came of one gate: its name, its label and passed, warned, failed or skipped."""

    expectation: str
    label: str
    status: str


class Tier(BaseModel):
    """The tier of a version. short: why it is not `wanted`. passed: the labels of the gates that it passed.

    approval: the reason of the person who approved it, None where nobody was asked. changed: gates whose parameters
    the recipe sets.
    """

    model_config = ConfigDict(frozen=True)

    name: Name
    wanted: Name
    short: list[str]
    passed: list[str]
    warned: list[str]
    skipped: list[str]
    suite: str
    changed: list[str] = []
    approval: str | None = None

    @property
    def sentence(self) -> str:
        """The tier in words, with what it stands on or falls short of."""
        if self.short:
            return f"{self.name}; not {self.wanted}: {'; '.join(self.short)}"
        about = [f"suite {self.suite}", f"{len(self.passed):,} checks passed", f"{len(self.warned):,} warned"]
        about += [f"{len(self.changed):,} with parameters of the recipe"] if self.changed else []
        about += ["approved"] if self.approval is not None else []
        return f"{self.name}: {', '.join(about)}"


def tier_of(
    config: TierConfig, verdicts: Iterable[Verdict], suite: str, changed: Iterable[str], approval: str | None
) -> Tier:
    """Return the tier of a version with these verdicts, L0 where it falls short of what the recipe wants."""
    known, asked, short = list(verdicts), config.asked, list[str]()
    failed = [one.label for one in known if one.status == "failed"]
    warned = [one.label for one in known if one.status == "warned"]
    passed = [one for one in known if one.status == "passed"]
    if asked.approval and approval is None:
        short.append("nobody has approved it yet")
    if failed:
        short.append(f"{', '.join(failed)} failed")
    if asked.warnings is not None and len(warned) > asked.warnings:
        short.append(f"{len(warned):,} warnings ({', '.join(warned[:5])}), at most {asked.warnings:,}")
    names = {name for one in passed for name in (one.expectation, one.label)}
    if lacking := [one for one in asked.gates if one not in names]:
        short.append(f"{', '.join(lacking)} did not pass")
    return Tier(
        name="L0" if short else config.name,
        wanted=config.name,
        short=short,
        passed=[one.label for one in passed],
        warned=warned,
        skipped=[one.label for one in known if one.status == "skipped"],
        suite=suite,
        changed=[*changed],
        approval=approval,
    )


def at_least(tier: object, wanted: str) -> bool:
    """Tell whether a version's tier, "" where it has none, is that tier or a higher one."""
    found = NAMES.index(tier) if tier in NAMES else 0
    return found >= NAMES.index(wanted)
