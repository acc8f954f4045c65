"""The facts of a card, gathered from the finished steps: numbers and tables, no sentences and no pictures yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
import pandas as pd
from pydantic import JsonValue

from evenkeel.expectations.measures import Counts
from evenkeel.expectations.result import Result
from evenkeel.infra import storage
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.filtered import Filtered
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.ingest.quarantine import Quarantine, quarantine_of
from evenkeel.tasks.ingest.source_table import ATTRIBUTES, SOURCES
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.redact import without_secrets
from evenkeel.tasks.report.columns import ColumnFacts, column_facts
from evenkeel.tasks.report.config import ReportConfig
from evenkeel.tasks.report.following import FollowedLine, lines_of
from evenkeel.tasks.report.held_out import SCOPE, held_out_evenness, with_held_out
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.removed import Removed, removed_rows
from evenkeel.tasks.report.signals import SignalValues, signal_values
from evenkeel.tasks.validate.results import results_of

SHOWN_REMOVED = 2
STAGES = ("before", "random", "top-down", "flat", "previous", "after")
NOT_OF_THE_RUN = ("previous", "sources")
LICENCE_COLUMNS = ("licence", "license", "licenses", "licences", "spdx")


@dataclass(frozen=True)
class Distribution:
    """The rows of every class of one scope, which is a level of clusters or a group column.

    names: (k,) what the classes are called. before, after: (k,) float64 rows. previous: the last version's, or None.
    """

    scope: str
    names: list[str]
    before: Counts
    after: Counts
    previous: Counts | None = None

    @property
    def share_before(self) -> Counts:
        """Shares of the pool, (k,) float64."""
        return _shares(self.before)

    @property
    def share_after(self) -> Counts:
        """Shares of the version, (k,) float64."""
        return _shares(self.after)

    @property
    def title(self) -> str:
        """What the scope is called in a sentence."""
        return self.scope.removeprefix("group.") if self.scope.startswith("group.") else self.scope.replace("-", " ")


@dataclass(frozen=True)
class TagFrequencies:
    """How often the tags of one signal occur. by_rank: the profile's table `tags` of it.

    tags, kept: different ones in the pool and in the version. asked, unseen: entries of a list, and those that no row
    has; examples: some of these. cap: the t of the strategy where it balances by these tags, and how many are under it.
    """

    name: str
    by_rank: pd.DataFrame
    tags: int
    kept: int
    asked: int | None
    unseen: int | None
    examples: list[str]
    cap: float | None = None
    under_cap: int | None = None


@dataclass(frozen=True)
class SourceFacts:
    """One line of the table of sources. kept: rows of the version that come from it, their copies counted."""

    source: str
    licence: str
    creator: str
    terms: str
    url: str
    shards: int
    rows: int
    kept: int


@dataclass(frozen=True)
class CardFacts:
    """Everything that a card is made from.

    goal: of the strategy. held_out: evenness by stage, {} for none. hedged: which share of the choice was made random,
    because halves of the data agree little: by `agreement` at most, those of a cloud without clusters by `reference`.
    """

    config: ReportConfig
    totals: dict[str, float]
    distributions: list[Distribution]
    balance: pd.DataFrame
    results: list[Result]
    dropped: dict[str, int]
    filtered: Filtered
    quarantined: dict[str, int]
    refused: Quarantine
    copies: str
    removed: list[Removed]
    shards: pd.DataFrame
    licences: Distribution | None
    seconds: dict[str, float]
    details: dict[str, str]
    goal: str = "balance"
    held_out: dict[str, float] = field(default_factory=dict)
    hedged: float = 0.0
    agreement: float = 1.0
    reference: float | None = None
    previous: bool = False
    distances: pd.DataFrame = field(default_factory=pd.DataFrame)
    tags: list[TagFrequencies] = field(default_factory=list)
    signals: list[SignalValues] = field(default_factory=list)
    followed: list[FollowedLine] = field(default_factory=list)
    sources: list[SourceFacts] = field(default_factory=list)
    columns: ColumnFacts | None = None

    @property
    def blocked(self) -> bool:
        """Whether a check that blocks failed, so that nothing is published."""
        return bool(self.failed)

    @property
    def name(self) -> str:
        """What the card is about: a version, or rows that were chosen and not published."""
        return "draft" if self.blocked else "version"

    @property
    def leaves(self) -> Distribution:
        """The finest clusters."""
        return self.distributions[0]

    @property
    def levels(self) -> list[Distribution]:
        """The levels of clusters, the finest first."""
        return [one for one in self.distributions if one.scope.startswith("level-")]

    @property
    def groups(self) -> list[Distribution]:
        """The group columns."""
        return [one for one in self.distributions if one.scope.startswith("group.")]

    @property
    def failed(self) -> list[Result]:
        """The blocking expectations that failed."""
        return [one for one in self.results if one.status == "failed"]

    @property
    def warned(self) -> list[Result]:
        """The warning expectations that failed."""
        return [one for one in self.results if one.status == "warned"]


def evenness(balance: pd.DataFrame) -> pd.DataFrame:
    """Return the normalised entropy of every scope (rows) at the stages that there are (columns), the version last."""
    known = [stage for stage in STAGES if (balance["stage"] == stage).any()]
    table = balance.pivot_table(index="scope", columns="stage", values="entropy", sort=False).reindex(columns=known)
    names = [name_of(str(scope)) for scope in table.index]
    return table.set_axis(names, axis="index")


def name_of(scope: str) -> str:
    """Return what a scope of the table of balance is called."""
    return "held out" if scope == SCOPE else scope.removeprefix("group.").replace("-", " ")


def gather(config: ReportConfig, inputs: ReportInputs, scratch: str) -> CardFacts:
    """Return the facts of a card."""
    pool = Pool.open(inputs.ingest, scratch)
    profile = Profile.open(inputs.measure)
    previous = Profile.open(inputs.previous) if inputs.previous is not None else None
    totals = {
        str(name): float(value) for name, value in profile.totals.iloc[0].items() if isinstance(value, (int, float))
    }
    distributions = [*_levels(profile), *_groups(profile, previous)]
    licences = next((one for one in distributions if one.title.lower() in _licence_columns(inputs.sources)), None)
    held_out = held_out_evenness(inputs.partition, inputs.sample, profile)
    columns = ["name", "rows", "quarantined", "sha256", "reason"]
    shards = pd.DataFrame([{name: getattr(shard, name) for name in columns} for shard in pool.shards], columns=columns)
    return CardFacts(
        config=config,
        totals=totals,
        distributions=distributions,
        balance=with_held_out(profile.balance, held_out),
        results=results_of(inputs.validate),
        dropped=_dropped(inputs.dedup),
        filtered=Filtered.of(inputs.dedup),
        removed=removed_rows(inputs.dedup, pool, SHOWN_REMOVED),
        refused=quarantine_of(pool.uri),
        quarantined={reason: count for reason, count in pool.info.reasons.items() if count},
        copies=_copies_of_target(config.recipe, inputs.dedup),
        shards=shards,
        licences=licences,
        seconds={name: ref.seconds for name, ref in inputs.present().items() if name not in NOT_OF_THE_RUN},
        details=_details(config, inputs, pool, licences is not None),
        goal=str(inputs.sample.facts.get("goal", "balance")),
        held_out=held_out,
        hedged=float(inputs.sample.facts.get("hedged", 0.0)),
        agreement=float(inputs.sample.facts.get("agreement", 1.0)),
        reference=inputs.sample.facts.get("reference"),
        previous=previous is not None,
        distances=profile.distances,
        tags=_tags(profile, inputs.sample),
        signals=signal_values(profile),
        followed=lines_of(inputs.annotations),
        sources=[] if inputs.sources is None else _sources(inputs.sources, distributions),
        columns=column_facts(profile),
    )


def _copies_of_target(recipe: Mapping[str, object], dedup: StepRef) -> str:
    """Return how many rows were copies of the target set, exact and near, in words; "" where none was."""
    target, lists = recipe.get("target_set"), dedup.facts.get("excluded")
    if not isinstance(target, dict) or not isinstance(lists, list):
        return ""
    mine = [one for one in lists if one["uri"] == target["uri"] and one["rows"]]
    rows, equal = (sum(int(one.get(name, 0)) for one in mine) for name in ("rows", "equal"))
    return f"{equal:,} equal and {rows - equal:,} nearly equal a row of the target" if rows else ""


def _licence_columns(sources: StepRef | None) -> set[str]:
    """Return what columns of licences are called, that of the table of sources included."""
    ours = set() if sources is None else {str(sources.facts["name"]).removesuffix("source") + "licence"}
    return {*LICENCE_COLUMNS, *ours}


def _sources(ref: StepRef, distributions: list[Distribution]) -> list[SourceFacts]:
    """Return the lines of the table of sources, those with most rows in the version first."""
    mine = next((one for one in distributions if one.scope == f"group.{ref.facts['name']}"), None)
    kept = {} if mine is None else dict(zip(mine.names, mine.after.astype(int).tolist(), strict=True))
    table = read_table(storage.join(ref.uri, "fit", SOURCES)).to_pylist()
    found = [
        SourceFacts(
            **{name: str(line[name]) for name in ATTRIBUTES},
            shards=len(line["shards"]),
            rows=int(line["rows"]),
            kept=kept.get(line["source"], 0),
        )
        for line in table
    ]
    return sorted(found, key=lambda one: (-one.kept, one.source))


def _levels(profile: Profile) -> list[Distribution]:
    clusters = profile.clusters
    distributions = []
    for level in sorted(clusters["level"].unique()):
        rows = clusters[clusters["level"] == level]
        names = [str(cluster) for cluster in rows["cluster"]] if len(rows) <= 100_000 else []
        distributions.append(Distribution(f"level-{level}", names, _counts(rows, "before"), _counts(rows, "after")))
    return distributions


def _groups(profile: Profile, previous: Profile | None) -> list[Distribution]:
    distributions = []
    last = previous.groups if previous is not None else None
    for group, rows in profile.groups.groupby("group", sort=True):
        before = None
        if last is not None and (last["group"] == group).any():
            known = last[last["group"] == group].set_index("value")["after"]
            before = known.reindex(rows["value"]).fillna(0).to_numpy(np.float64)
        names = [str(value) for value in rows["value"]]
        distributions.append(
            Distribution(f"group.{group}", names, _counts(rows, "before"), _counts(rows, "after"), before)
        )
    return distributions


def _tags(profile: Profile, sample: StepRef) -> list[TagFrequencies]:
    by_rank, found = profile.tags, []
    of_strategy = sample.facts.get("tags", {})
    for row in profile.tag_totals.to_dict("records"):
        name, summary = str(row["signal"]), of_strategy.get(row["signal"])
        asked, unseen = (None if pd.isna(row[column]) else int(row[column]) for column in ("asked", "unseen"))
        found.append(
            TagFrequencies(
                name,
                by_rank[by_rank["signal"] == name],
                int(row["tags"]),
                int(row["kept_tags"]),
                asked,
                unseen,
                [str(one) for one in row["examples"]],
                None if summary is None else float(sample.facts["cap"]),
                None if summary is None else int(summary["under_cap"]),
            )
        )
    return found


def _shares(counts: Counts) -> Counts:
    shares: Counts = counts / max(float(counts.sum()), 1.0)
    return shares


def _counts(rows: pd.DataFrame, column: str) -> Counts:
    counts: Counts = rows[column].to_numpy(dtype=np.float64)
    return counts


def _dropped(dedup: StepRef) -> dict[str, int]:
    kinds = Duplicates.open(dedup).dropped().column("kind").value_counts().to_pylist()
    return {str(entry["values"]): int(entry["counts"]) for entry in kinds}


def _details(config: ReportConfig, inputs: ReportInputs, pool: Pool, licensed: bool) -> dict[str, str]:
    """Return what identifies the run: source, seed, hashes, keys and sizes, as plain words."""
    cluster, stage, sample = inputs.cluster, inputs.stage, inputs.sample
    table = ", ".join(f"{copies} from {size}" for size, copies in sample.facts.get("rehydrate", {}).items())
    facts: dict[str, object] = {
        "Source": without_secrets(str(_setting(config.recipe, "source", "uri") or "")),
        "Licence": None if licensed else "no column of the source says",
        "Tier": None if config.tier is None else config.tier.sentence,
        "Strategy": sample.facts.get("strategy"),
        "Seed": _setting(config.recipe, "sampling", "seed"),
        "Rehydration": table and f"{sample.counts['copies']:,} copies; by size of the duplicate group: {table}",
        "Clusters": " → ".join(f"{entry['clusters']:,}" for entry in cluster.facts.get("levels", [])),
        "Text column": pool.info.text,
        "Vectors": f"{pool.info.dimension} dimensions" if pool.info.dimension else None,
        "Centroid hash": cluster.facts.get("centroid_hash"),
        "Content key": stage.facts.get("content_key") if stage else None,
        "Made with": f"Evenkeel {version('evenkeel')}",
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _setting(recipe: Mapping[str, JsonValue], section: str, name: str) -> JsonValue:
    """Return a field of a section of the recipe, None where it is not set."""
    fields = recipe.get(section)
    return fields.get(name) if isinstance(fields, dict) else None
