"""Everything the card says, gathered from the finished steps: numbers and tables, no words and no pictures yet."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from evenkeel.expectations.result import Result
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.redact import without_secrets
from evenkeel.tasks.report.config import ReportConfig
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.removed import Removed, removed_rows
from evenkeel.tasks.validate.results import results_of

Floats = npt.NDArray[np.float64]
STEPS = ("ingest", "embed", "dedup", "cluster", "sample", "stage", "measure", "validate")
SHOWN_REMOVED = 2
LICENCE_COLUMNS = ("licence", "license", "licenses", "licences", "spdx")


@dataclass(frozen=True)
class Spread:
    """How rows lie over the classes of one scope: a level of clusters or a group column.

    names: (k,) what the classes are called. before, after: (k,) float64 rows. previous: the last version's, or None.
    """

    scope: str
    names: list[str]
    before: Floats
    after: Floats
    previous: Floats | None = None

    @property
    def share_before(self) -> Floats:
        """Shares of the pool, (k,) float64."""
        return _shares(self.before)

    @property
    def share_after(self) -> Floats:
        """Shares of the version, (k,) float64."""
        return _shares(self.after)

    @property
    def title(self) -> str:
        """What the scope is called in a sentence."""
        return self.scope.removeprefix("group.") if self.scope.startswith("group.") else self.scope.replace("-", " ")


@dataclass(frozen=True)
class CardFacts:
    """What a card is made from. docs: where the Data Docs lie, seen from the card."""

    config: ReportConfig
    totals: dict[str, float]
    spreads: list[Spread]
    balance: pd.DataFrame
    results: list[Result]
    dropped: dict[str, int]
    quarantined: dict[str, int]
    removed: list[Removed]
    shards: pd.DataFrame
    licences: Spread | None
    seconds: dict[str, float]
    details: dict[str, str]
    docs: str
    previous: bool = False

    @property
    def leaves(self) -> Spread:
        """The finest clusters."""
        return self.spreads[0]

    @property
    def levels(self) -> list[Spread]:
        """The levels of clusters, the finest first."""
        return [spread for spread in self.spreads if spread.scope.startswith("level-")]

    @property
    def groups(self) -> list[Spread]:
        """The group columns."""
        return [spread for spread in self.spreads if spread.scope.startswith("group.")]

    @property
    def failed(self) -> list[Result]:
        """The blocking expectations that failed."""
        return [one for one in self.results if one.status == "failed"]

    @property
    def warned(self) -> list[Result]:
        """The warning expectations that failed."""
        return [one for one in self.results if one.status == "warned"]


def gather(config: ReportConfig, inputs: ReportInputs, scratch: str) -> CardFacts:
    """Return the facts of a card."""
    pool = Pool.open(inputs.ingest, scratch)
    profile = Profile.open(inputs.measure)
    previous = Profile.open(inputs.previous) if inputs.previous is not None else None
    totals = {
        str(name): float(value) for name, value in profile.totals.iloc[0].items() if isinstance(value, (int, float))
    }
    spreads = [*_levels(profile), *_groups(profile, previous)]
    licences = next((one for one in spreads if one.scope.removeprefix("group.").lower() in LICENCE_COLUMNS), None)
    columns = ["name", "rows", "quarantined", "sha256", "reason"]
    shards = pd.DataFrame([{name: getattr(shard, name) for name in columns} for shard in pool.shards], columns=columns)
    return CardFacts(
        config=config,
        totals=totals,
        spreads=spreads,
        balance=profile.balance,
        results=results_of(inputs.validate),
        dropped=_dropped(inputs.dedup),
        removed=removed_rows(inputs.dedup, pool, SHOWN_REMOVED),
        quarantined={reason: count for reason, count in pool.info.reasons.items() if count},
        shards=shards,
        licences=licences,
        seconds={name: ref.seconds for name, ref in inputs.present().items() if name in STEPS},
        details=_details(config, inputs, pool, licences is not None),
        docs=_docs(inputs.validate),
        previous=previous is not None,
    )


def _docs(validate: StepRef) -> str:
    """Return the place of the Data Docs: beside a published card, or in the workspace where nothing is published."""
    return "docs/index.html" if not validate.counts.get("failed") else f"../../validate/{validate.key}/docs/index.html"


def _levels(profile: Profile) -> list[Spread]:
    clusters = profile.clusters
    spreads = []
    for level in sorted(clusters["level"].unique()):
        rows = clusters[clusters["level"] == level]
        names = [str(cluster) for cluster in rows["cluster"]] if len(rows) <= 100_000 else []
        spreads.append(Spread(f"level-{level}", names, _counts(rows, "before"), _counts(rows, "after")))
    return spreads


def _groups(profile: Profile, previous: Profile | None) -> list[Spread]:
    spreads = []
    last = previous.groups if previous is not None else None
    for group, rows in profile.groups.groupby("group", sort=True):
        before = None
        if last is not None and (last["group"] == group).any():
            known = last[last["group"] == group].set_index("value")["after"]
            before = known.reindex(rows["value"]).fillna(0).to_numpy(np.float64)
        names = [str(value) for value in rows["value"]]
        spreads.append(Spread(f"group.{group}", names, _counts(rows, "before"), _counts(rows, "after"), before))
    return spreads


def _shares(counts: Floats) -> Floats:
    shares: Floats = counts / max(float(counts.sum()), 1.0)
    return shares


def _counts(rows: pd.DataFrame, column: str) -> Floats:
    counts: Floats = rows[column].to_numpy(dtype=np.float64)
    return counts


def _dropped(dedup: StepRef) -> dict[str, int]:
    kinds = Duplicates.open(dedup).dropped().column("kind").value_counts().to_pylist()
    return {str(entry["values"]): int(entry["counts"]) for entry in kinds}


def _details(config: ReportConfig, inputs: ReportInputs, pool: Pool, licensed: bool) -> dict[str, str]:
    """Return what identifies the run: source, seed, hashes, keys and sizes, as plain words."""
    cluster, stage, sample = inputs.cluster, inputs.stage, inputs.sample
    table = ", ".join(f"{copies} from {size}" for size, copies in sample.facts.get("rehydrate", {}).items())
    facts: dict[str, Any] = {
        "Source": without_secrets(str(config.recipe.get("source", {}).get("uri", ""))),
        "Licence": None if licensed else "no column of the source says",
        "Strategy": sample.facts.get("strategy"),
        "Seed": config.recipe.get("sampling", {}).get("seed"),
        "Rehydration": table and f"{sample.counts['copies']:,} copies; by duplicates a row stands for: {table}",
        "Clusters": " → ".join(f"{entry['clusters']:,}" for entry in cluster.facts.get("levels", [])),
        "Text column": pool.info.text,
        "Vectors": f"{pool.info.dimension} dimensions" if pool.info.dimension else None,
        "Centroid hash": cluster.facts.get("centroid_hash"),
        "Content key": stage.facts.get("content_key") if stage else None,
        "Made with": f"Evenkeel {version('evenkeel')}",
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}
