"""Data Docs: an index and one page per concern that say what was checked, what was found, and which rows show it.

The pages are ours and hold all they need. Those that Great Expectations writes load some sixteen files from other
hosts, and are blank where these cannot be reached.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from evenkeel.expectations.pages import environment
from evenkeel.expectations.result import (
    SIGNS,
    STATUSES,
    Result,
    Status,
    summary,
    tally,
    worst_first,
    worst_status,
)

ABOUT = {
    "inputs": "Were the shards readable, few rows refused, and every source an allowed one?",
    "clusters": "Is the clustering that everything rests on sound?",
    "balance": "How evenly does the version lie over clusters and groups?",
    "drift": "How far is the version from the last one, or from the pool?",
    "duplicates": "How many near-duplicates are left?",
    "accounting": "Does every row read have exactly one disposition, and was the target met?",
    "properties": "Do the stated properties hold for every row, every group and every cell?",
    "columns": "Do the columns of the rows meet the expectations of Great Expectations?",
    "fairness": "Are metrics, and the chance of being kept, alike in all groups?",
    "privacy": "How often do e-mail addresses, phone numbers and secrets occur in the texts?",
}


@dataclass(frozen=True)
class Concern:
    """The checks of one concern, and how the index presents them."""

    name: str
    checks: list[Result]

    @property
    def title(self) -> str:
        """The name as a heading."""
        return self.name.capitalize()

    @property
    def about(self) -> str:
        """The question that the checks answer."""
        return ABOUT.get(self.name, "")

    @property
    def status(self) -> Status:
        """The most serious status among the checks."""
        return worst_status(self.checks)

    @property
    def sign(self) -> str:
        """The sign of that status."""
        return SIGNS[self.status]

    @property
    def verdict(self) -> str:
        """How many checks failed or warned, in words."""
        return tally(self.checks)

    @property
    def skipped(self) -> int:
        """How many checks did not apply."""
        return sum(one.status == "skipped" for one in self.checks)


@dataclass(frozen=True)
class Subject:
    """What the checks are of. version: "version 3" or "not published". created: the day. card: where its card lies."""

    dataset: str
    version: str
    created: str = ""
    card: str = "../card.html"


def render_data_docs(results: Sequence[Result], subject: Subject) -> dict[str, str]:
    """Return the pages by name: `index.html`, and `<concern>.html` for every concern of the results."""
    names = dict.fromkeys(one.concern for one in results)
    concerns = [Concern(name, worst_first(one for one in results if one.concern == name)) for name in names]
    concerns.sort(key=lambda concern: STATUSES.index(concern.status))
    templates = environment()
    page, index = (templates.get_template(name) for name in ("concern.html.j2", "index.html.j2"))
    verdict, status = summary(results), worst_status(results)
    about = {"subject": subject, "whole": verdict, "whole_status": status, "whole_sign": SIGNS[status]}
    pages = {f"{concern.name}.html": page.render(concern=concern, **about) for concern in concerns}
    trouble = [one for one in worst_first(results) if one.status in ("failed", "warned")]
    skipped = sum(one.status == "skipped" for one in results)
    pages["index.html"] = index.render(concerns=concerns, trouble=trouble, skipped=skipped, **about)
    return pages
