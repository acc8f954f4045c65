"""Take a report of scores: refuse what is wrong with it by name, and add the rest to the feedback."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from evenkeel.infra.errors import InputError
from evenkeel.tasks.feedback.score import Score
from evenkeel.tasks.publish.config import DestinationConfig, trial_of

if TYPE_CHECKING:
    from evenkeel.tasks.feedback.table import Reported
    from evenkeel.tasks.publish.table import Version

NAMED = 5


class Received(BaseModel):
    """What became of a report. examples: where values of single examples lie, for a joined signal."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    version: int
    trial: str
    trainer: str
    scores: int
    examples: list[str] = []


def record(
    config: DestinationConfig,
    dataset: str,
    ref: str | int,
    scores: Sequence[Score],
    workspace: str,
    *,
    trainer: str = "",
    metric: str = "",
    loops: Sequence[Collection[str]] = (),
) -> Received:
    """Add the scores of a version to the feedback of its dataset, all or none.

    metric: that of the mixture, which a report of a trial must have. loops: the names of the trials of each loop, in
    which a metric keeps its name. Raises VersionNotFound for an unknown version,
    InputError for an unknown domain, a value that is no number, a metric under another name than in earlier trials,
    and for what was reported before, whether the same or differently.
    """
    from evenkeel.tasks.feedback.table import append, feedback_table, retried, rows_of, version_of, write_examples
    from evenkeel.tasks.publish.trail import user

    trainer = trainer or user()
    with feedback_table(config, dataset, workspace) as (versions, table):
        version = version_of(versions, ref)
        trial = trial_of(version.tags)
        loop = next((names for names in loops if trial in names), ())
        _refuse_numbers(scores, version)
        _refuse_domains(scores, version)

        def once() -> None:
            known = rows_of(table, _relevant(version, scores))
            _refuse_doubles(scores, version, known, trainer)
            if trial:
                _refuse_renamed(scores, version, trial, [one for one in known if one.trial in loop], metric)
            append(table, version, trial, trainer, scores)

        retried(table, once)
        by_example = sorted({one.metric for one in scores if one.example})
        places = [write_examples(table, one) for one in by_example]
    return Received(
        dataset=dataset,
        version=version.version,
        trial=trial,
        trainer=trainer,
        scores=len(scores),
        examples=places,
    )


def domains_of(version: "Version") -> list[str]:
    """Return the domains of the mixture that a version was drawn by; empty where it was drawn by none."""
    from evenkeel.tasks.publish.manifest import read_checked

    steps = read_checked(version.manifest, version.manifest_sha256).document.get("steps", {})
    mixture = steps.get("sample", {}).get("facts", {}).get("mixture", {})
    return list(mixture.get("weights", {}))


def _relevant(version: "Version", scores: Sequence[Score]) -> str:
    from evenkeel.tasks.feedback.table import NO_EXAMPLES

    return f"{NO_EXAMPLES} or version == {version.version}" if any(one.example for one in scores) else NO_EXAMPLES


def _refuse_numbers(scores: Iterable[Score], version: "Version") -> None:
    wrong = list[str]()
    for one in scores:
        if not math.isfinite(one.value):
            wrong.append(f"{one.of} is {one.value}")
        elif one.error is not None and not 0 <= one.error < math.inf:
            wrong.append(f"the error of {one.of} is {one.error}")
        elif one.rows is not None and one.rows < 0:
            wrong.append(f"the rows of {one.of} are {one.rows}")
        elif one.cost is not None and not 0 <= one.cost < math.inf:
            wrong.append(f"the cost of {one.of} is {one.cost}")
    if wrong:
        raise InputError(
            f"{len(wrong):,} score(s) of v{version.version} are no usable numbers",
            expected="finite values; errors, rows and costs of at least 0",
            found=_some(wrong),
            remedy="nothing was recorded: leave out what was not measured, and report again",
        )


def _refuse_domains(scores: Iterable[Score], version: "Version") -> None:
    named = {one.domain for one in scores if one.domain}
    if not named:
        return
    known = domains_of(version)
    if unknown := sorted(named - set(known)):
        raise InputError(
            f"v{version.version} has no domain {_some([repr(one) for one in unknown])}",
            expected=f"one of {_some(known, 20)}" if known else "scores without a domain: it was drawn by no mixture",
            remedy="nothing was recorded: correct the names, and report again",
        )


def _refuse_doubles(scores: Sequence[Score], version: "Version", known: "Iterable[Reported]", trainer: str) -> None:
    before = {
        (one.score.metric, one.score.domain, one.score.example): one for one in known if one.version == version.version
    }
    seen: set[tuple[str, str, str]] = set()
    same, other = list[str](), list[str]()
    for score in scores:
        key = score.metric, score.domain, score.example
        if key in seen:
            raise InputError(f"the report has {score.of} twice", remedy="nothing was recorded: report each value once")
        seen.add(key)
        if (earlier := before.get(key)) is not None:
            told = f"{score.of}: {earlier.score.value:g} by {earlier.trainer} on {earlier.when[:16]}"
            (same if earlier.score.value == score.value else other).append(f"{told}, now {score.value:g} by {trainer}")
    if other:
        raise InputError(
            f"v{version.version} was reported differently before",
            found=_some(other),
            remedy="nothing was recorded: the first report stands; find out which one is right",
        )
    if same:
        raise InputError(
            f"v{version.version} was reported before, with the same values",
            found=_some(same),
            remedy="nothing was recorded, and nothing needs to be",
        )


def _refuse_renamed(
    scores: Sequence[Score], version: "Version", trial: str, known: "Iterable[Reported]", metric: str
) -> None:
    """Refuse metrics that no earlier trial of the loop was reported by, and a report without the mixture's own."""
    earlier: dict[str, set[str]] = {}
    for one in known:
        if one.trial != trial:
            earlier.setdefault(one.score.part, set()).add(one.score.metric)
    for part in ("version", "domain"):
        now, before = {one.metric for one in scores if one.part == part}, earlier.get(part, set())
        for wanted in (before, {metric} if metric and part == "version" else before):
            if now and wanted and not now & wanted:
                raise InputError(
                    f"{trial} (v{version.version}) is reported by another metric than the trials before it"
                    if wanted is before
                    else f"{trial} (v{version.version}) is not reported by the metric of the mixture",
                    expected=" or ".join(sorted(wanted)),
                    found=", ".join(sorted(now)),
                    where=f"scores of the {part}",
                    remedy="nothing was recorded: name the metric as before, or begin a new loop for another one",
                )


def _some(names: Sequence[str], most: int = NAMED) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
