"""Weights of the kept rows under which stated margins hold: shares of values and clusters, means of numbers.

Sources: raking (Deming and Stephan 1940) and entropy balancing (Hainmueller 2012); effective sample size (Kish 1965).
"""

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.balance.cells import BINS, CellKeys, as_cells, count_cells
from evenkeel.tasks.annotate.balance.foresight import unmet_margins
from evenkeel.tasks.annotate.balance.margins import Mean, Shares, count, is_number, refuse, shares_of
from evenkeel.tasks.annotate.balance.newton import MET, balance
from evenkeel.tasks.annotate.balance.target import target_shares
from evenkeel.tasks.annotate.column import Column, Foreseen
from evenkeel.tasks.annotate.seen import Seen
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.units import cluster_level
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.step import Run


class Weights(Annotation):
    """The weight of each row, 1 on average over copies, under which margins hold."""

    kind: Literal["weights"] = "weights"
    name: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=40, description="The column is `ek_weight_<name>`."
    )
    margins: dict[str, Literal["uniform", "pool"] | float | dict[str, float]] = Field(
        default_factory=dict,
        description="By column or `level-t`: `uniform` = the same share for each value; `pool` = as before sampling; "
        "shares by value; of numbers, the mean, or `pool`.",
    )
    to: Literal["", "pool", "target_set"] = Field(
        "", description="What the weighted rows resemble in `features`: the pool, or the recipe's target set."
    )
    features: str = Field("level-1", description="With to: `level-t`, or with the pool a column.", min_length=1)
    target: TargetSet | None = Field(None, description="The recipe's target set; filled in.")

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.margins and not self.to:
            raise ValueError("weights need margins, or to: pool or target_set")
        if self.to == "target_set" and cluster_level(self.features) is None:
            raise ValueError("weights to: target_set go by clusters: features: level-t")
        if self.to and self.features in self.margins:
            raise ValueError(f"weights: {self.features} is among margins and features; name it once")
        for column, wanted in self.margins.items():
            if isinstance(wanted, dict) and not all(0 <= share <= 1 for share in wanted.values()):
                raise ValueError(f"weights: the shares of {column} are between 0 and 1")
            if isinstance(wanted, dict) and not 0 < sum(wanted.values()) <= 1 + 1e-9:
                raise ValueError(
                    f"weights: the shares of {column} sum to {sum(wanted.values()):g}, not to 1, or less than 1 where "
                    "values that are not named have the rest"
                )
            if isinstance(wanted, float) and cluster_level(column) is not None:
                raise ValueError(f"weights: {column} has no mean; ask for uniform, pool or shares")
        return self

    @property
    def label(self) -> str:
        """What it is called: weights, and its name."""
        return f"weights-{self.name}"

    def writes(self) -> list[Column]:
        """Return the column of the weights."""
        asked = [*self.margins, *([f"{self.features} of {self.to}"] if self.to else [])]
        return [Column(f"ek_weight_{self.name}", "float64", f"weight under which margins hold: {', '.join(asked)}")]

    def columns(self) -> tuple[str, ...]:
        """Return the columns of the margins."""
        named = [*self.margins, *([self.features] if self.to else [])]
        return tuple(name for name in dict.fromkeys(named) if cluster_level(name) is None)

    def with_target(self, target: TargetSet | None) -> Self:
        """Return it with the recipe's target set. Raises ValueError where it is asked for and there is none."""
        if self.to != "target_set":
            return self
        if target is None:
            raise ValueError(f"weights: {self.name} is to resemble the target, and the recipe has no target_set")
        return self.model_copy(update={"target": target})

    def current(self) -> Self:
        """Return it with the fingerprint of the target's files."""
        return self if self.target is None else self.model_copy(update={"target": self.target.current()})

    def foresee_values(self, seen: Seen, kept: int) -> list[Foreseen]:
        """Return the margins that no weights meet: of values that no row has, means out of range, at odds together."""
        return unmet_margins(self.margins, seen)

    def fit(self, source: AnnotationSource, folder: str, run: Run) -> Mapping[str, object]:
        """Find the weight of every cell, and write keys and weights; return what they cost in sample size.

        Raises RecipeError naming the margin that no weights meet.
        """
        shares, means, scales, facts = self._wanted(source, folder, run)
        edges = tuple(np.linspace(low, high, BINS + 1)[1:-1] for low, high in scales)
        keys = CellKeys(source, tuple(shares), tuple(means), edges)
        counted = count_cells(keys, run)
        if not len(counted.keys):
            raise RecipeError("there are no kept rows to weigh", where=source.where)
        spans = [max(high - low, 1e-300) for low, high in scales]
        cells = as_cells(counted, keys, spans)
        dual = balance(cells, [one.shares for one in shares], np.zeros(len(means)))
        if dual.missed > MET:
            number, value = dual.worst
            what = (
                shares[number].called(value)
                if number < len(shares)
                else f"the mean of {means[number - len(shares)].column}"
            )
            refuse(source, f"{what} misses by {dual.missed:.3g} when all others are met as nearly as can be")
        keys.save(folder)
        weights = np.exp(dual.log_weights(cells.codes, cells.numbers))
        write_array(storage.join(folder, "keys.npy"), counted.keys)
        write_array(storage.join(folder, "weights.npy"), weights)
        total = float(counted.counts.sum())
        effective = float((counted.counts @ weights) ** 2 / (counted.counts @ weights**2))
        return {
            "copies": int(total),
            "cells": len(weights),
            "effective_sample_size": round(effective, 1),
            "effective_share": round(effective / total, 6),
            "largest_weight": round(float(weights.max()), 6),
            "missed": float(dual.missed),
            **facts,
        }

    def compute(self, source: AnnotationSource, block: str, fit: Fit) -> Mapping[str, pa.Array]:
        """Return the weight of each row: that of its cell."""
        keys = CellKeys.read(source, fit.folder)
        key, _ = keys.keys(source.kept(block, keys.columns))
        known, weights = (read_array(storage.join(fit.folder, f"{name}.npy")) for name in ("keys", "weights"))
        return {f"ek_weight_{self.name}": pa.array(weights[np.searchsorted(known, key)])}

    def _wanted(
        self, source: AnnotationSource, folder: str, run: Run
    ) -> tuple[list[Shares], list[Mean], list[tuple[float, float]], dict[str, object]]:
        """Return the shares and means that are asked for, the range of each column of numbers, and facts."""
        shares, means, ranges, facts = list[Shares](), list[Mean](), list[tuple[float, float]](), dict[str, object]()
        asked: dict[str, str | float | dict[str, float]] = dict(self.margins)
        if self.to:
            asked[self.features] = self.to
        for column, wanted in asked.items():
            kept = count(source, column, False, run)
            pool = count(source, column, True, run) if wanted == "pool" else None
            if is_number(source, column):
                rows, total, low, high = (kept if pool is None else pool).numbers
                if isinstance(wanted, dict) or wanted == "uniform" or not rows:
                    refuse(source, f"{column} holds numbers: ask for a mean or pool, or cut it into bins")
                mean = float(wanted) if isinstance(wanted, float) else total / rows
                low, high = kept.numbers[2:]
                if not low <= mean <= high or (low == high != mean):
                    refuse(source, f"the mean of {column} is to be {mean:g}, and kept rows have {low:g} to {high:g}")
                means.append(Mean(column, mean))
                ranges.append((low, high))
                continue
            if isinstance(wanted, float):
                refuse(source, f"{column} holds no numbers, so it has no mean of {wanted:g}")
            if wanted == "target_set":
                assert self.target is not None
                found = target_shares(source, cluster_level(self.features) or 1, self.target, folder, run)
                there = set(kept.counts["value"].to_pylist())
                wanted = {value: share for value, share in found.items() if value in there}
                held = sum(wanted.values())
                if not held:
                    refuse(source, f"no kept row is in a cluster of {column} that holds a row of the target")
                facts["target_without_kept_rows"] = round(1 - held, 6)
                wanted = {value: share / held for value, share in wanted.items()}
            shares.append(shares_of(source, column, wanted, kept, pool))
        return shares, means, ranges, facts
