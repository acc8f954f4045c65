"""The rounds of a mixture: what is tried, what came of it, and what was approved; files beside the dataset's versions.

`<dataset>/mixture/round-003.json` is written once, before the first of its trials is drawn, and never again: so a run
that was killed goes on with the very same mixtures. `settled-000.json` ends the loop that began with that round.
"""

import json
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.tasks.publish.layout import dataset_folder
from evenkeel.tasks.publish.trail import user

FOLDER, APPROVED = "mixture", "approved.json"
PAGE = "index.html"
Model = TypeVar("Model", bound=BaseModel)


class Planned(BaseModel):
    """A mixture to try. role: natural, uniform, stratified, proposed, tried. predicted: the metric, None if unknown."""

    model_config = ConfigDict(frozen=True)

    name: str
    role: str
    weights: dict[str, float]
    predicted: float | None = None


class Round(BaseModel):
    """The trials of a round.

    loop: the round that the loop began with. names, sizes, uniform: of the domains, with the rows of each in the pool,
    and its weight where every leaf counts the same. budget: rows of a trial. clusters: the hash of the clustering,
    where domains are clusters, else empty. without: trials of the round before that were given up waiting for.
    """

    model_config = ConfigDict(frozen=True)

    round: int
    loop: int
    domains: str
    names: list[str]
    sizes: list[int]
    uniform: list[float]
    budget: int
    rule: dict[str, object]
    goal: str
    clusters: str
    trials: list[Planned]
    without: list[str] = []
    created: str = ""


class Settled(BaseModel):
    """How a loop ended: with the mixture of the rule, or where that is no better than stratified beyond noise, with it.

    value, error: of the proposed mixture; stratified, natural: mean metric of these. noise: one standard error of the
    difference, None where it is unknown. gain: how much better than stratified.
    """

    model_config = ConfigDict(frozen=True)

    loop: int
    round: int
    domains: str
    clusters: str
    metric: str
    role: str
    weights: dict[str, float]
    proposed: float | None
    stratified: float | None
    natural: float | None
    noise: float | None
    gain: float | None
    sentence: str
    created: str = ""


class Approved(BaseModel):
    """The mixture that `curate` goes by, who approved it, when and why; and the loop that it comes from."""

    model_config = ConfigDict(frozen=True)

    loop: int
    domains: str
    clusters: str
    weights: dict[str, float]
    regret: float | None
    who: str
    when: str
    reason: str = ""


class Rounds(BaseModel):
    """Everything that is known of a dataset's mixture, rounds in their order, settled loops by their first round."""

    rounds: list[Round] = []
    settled: dict[int, Settled] = {}
    approved: Approved | None = None

    @property
    def last(self) -> Round | None:
        """The newest round."""
        return self.rounds[-1] if self.rounds else None

    def of_loop(self, loop: int) -> list[Round]:
        """Return the rounds of a loop."""
        return [one for one in self.rounds if one.loop == loop]

    def loops(self) -> list[set[str]]:
        """Return the names of the trials of each loop."""
        found: dict[int, set[str]] = {}
        for one in self.rounds:
            found.setdefault(one.loop, set()).update(trial.name for trial in one.trials)
        return list(found.values())

    @property
    def open(self) -> list[Round]:
        """Return the rounds of the loop that goes on; none where the last one is settled."""
        return [] if self.last is None or self.last.loop in self.settled else self.of_loop(self.last.loop)

    def open_trials(self) -> set[str]:
        """Return the names of the trials that a loop still needs."""
        return {trial.name for one in self.rounds if one.loop not in self.settled for trial in one.trials}


def mixture_folder(destination: str, dataset: str) -> str:
    """Return where the rounds of a dataset lie."""
    return storage.join(dataset_folder(destination, dataset), FOLDER)


def read_rounds(folder: str) -> Rounds:
    """Return what is known of a mixture; nothing where there is none."""
    found, approved = Rounds(), None
    if not storage.exists(folder):
        return found
    for uri in storage.list_files(folder):
        name = uri.rpartition("/")[2]
        if name.startswith("round-"):
            found.rounds.append(Round.model_validate(storage.read_json(uri)))
        elif name.startswith("settled-"):
            one = Settled.model_validate(storage.read_json(uri))
            found.settled[one.loop] = one
        elif name == APPROVED:
            approved = Approved.model_validate(storage.read_json(uri))
    rounds = sorted(found.rounds, key=lambda one: one.round)
    return Rounds(rounds=rounds, settled=found.settled, approved=approved)


def save_round(folder: str, one: Round) -> Round:
    """Save a round, or return the one of its number that another run saved first."""
    return _once(storage.join(folder, f"round-{one.round:03d}.json"), one.model_copy(update={"created": now()}))


def save_settled(folder: str, one: Settled) -> Settled:
    """Save how a loop ended, or return what another run saved first."""
    return _once(storage.join(folder, f"settled-{one.loop:03d}.json"), one.model_copy(update={"created": now()}))


def save_approved(folder: str, settled: Settled, regret: float | None, reason: str) -> Approved:
    """Save that a person approved what a loop ended with; it takes the place of what was approved before."""
    one = Approved(
        loop=settled.loop,
        domains=settled.domains,
        clusters=settled.clusters,
        weights=settled.weights,
        regret=regret,
        who=user(),
        when=now(),
        reason=reason,
    )
    storage.write_json(storage.join(folder, APPROVED), one.model_dump(mode="json"))
    return one


def is_announced(folder: str, what: str) -> bool:
    """Tell whether the event of a round (`round-003`) or of a loop's end (`settled-000`) was emitted."""
    return storage.exists(storage.join(folder, f"announced-{what}"))


def save_announced(folder: str, what: str) -> None:
    """Save that an event was emitted; a run that is killed before emits it again, so that none is lost."""
    storage.write_bytes(storage.join(folder, f"announced-{what}"), f"{now()}\n".encode())


def now() -> str:
    """Return this moment, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _once(uri: str, one: Model) -> Model:
    written = json.dumps(one.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    if storage.create_bytes(uri, written):
        return one
    return type(one).model_validate(storage.read_json(uri))
