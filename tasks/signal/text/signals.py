"""What signals of texts share: which texts they read, and rules by which a text passes or fails."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as kinds
from pydantic import Field

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import Int64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.signal.signal import Fit, Numbers, Part, Signal
from evenkeel.tasks.signal.text.rules import PASSES, UNKNOWN, Rule, first_failed
from evenkeel.tasks.signal.text.statistics import CLEANED, COUNTED, NGRAMS, REPEATED, Measures
from evenkeel.tasks.workload import Workload

if TYPE_CHECKING:
    from evenkeel.tasks.signal.source import SignalSource
    from evenkeel.tasks.step import Run

MEGABYTES_A_SECOND = ((COUNTED, 150), (REPEATED, 150), (NGRAMS, 80), (CLEANED, 140))  # of one core


class TextSignal(Signal):
    """A signal of a text of every row: the text of the source, or another column of texts."""

    column: str | None = Field(None, description="Column of texts that it reads; the source's text if left out.")

    def needs(self) -> frozenset[Part]:
        """Return that the texts of the source are read, unless a column is named."""
        return frozenset({"text"} if self.column is None else ())

    def columns(self) -> tuple[str, ...]:
        """Return the column of texts, if one is named."""
        return () if self.column is None else (self.column,)

    def check(self, source: "SignalSource") -> None:
        """Raise RecipeError where the column holds no texts, InputError where the source has none."""
        for block in source.blocks[:1]:
            self.texts(source, block)

    def texts(self, source: "SignalSource", block: str) -> pa.ChunkedArray:
        """Return the texts of a block, (n,) of a type of text, null where a row has none."""
        if self.column is None:
            return source.text(block)
        texts = source.columns(block, [self.column])[self.column]
        kind = texts.type.value_type if kinds.is_dictionary(texts.type) else texts.type
        if not (kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)):
            raise RecipeError(
                f"the column {self.column!r} holds no texts",
                expected="a column of strings",
                found=str(texts.type),
                where=source.where,
                remedy="name a column of texts, or leave `column` out to read the source's text",
            )
        return texts


def cost_of(statistics: Iterable[str], work: Workload) -> float:
    """Return the CPU-seconds of some statistics of the texts of a pool."""
    asked = set(statistics)
    needed = sum(1 / rate for group, rate in MEGABYTES_A_SECOND if asked & set(group))
    return 0.1 + work.text_megabytes * needed


class RuleSignal(TextSignal):
    """1 where a text passes all rules, 0 where it fails one, no value where there is no text.

    A threshold of null switches its rule off.
    """

    def rules(self) -> list[Rule]:
        """Return the rules, in the order in which they are tried."""
        raise NotImplementedError

    def measures(self) -> Measures:
        """Return what the statistics are asked."""
        return Measures()

    def fit(self, source: "SignalSource", folder: str, run: "Run") -> Mapping[str, object]:
        """Try the rules on every text; write which is the first that each fails, and return how many fail each."""
        return {"failed": try_rules(self, source, folder, run)}

    def compute(self, source: "SignalSource", block: str, fit: Fit) -> Numbers:
        """Return 1 where a text passes, 0 where it fails, NaN where there is none."""
        failed = read_failed(block, fit)
        return np.where(failed == UNKNOWN, np.nan, failed == PASSES).astype(np.float64)

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of the statistics that the rules read."""
        return cost_of({rule.statistic for rule in self.rules()}, work)


def try_rules(one: RuleSignal, source: "SignalSource", folder: str, run: "Run") -> dict[str, int]:
    """Write the number of the first rule that each text fails, by block, and return how many texts fail each first."""
    counts = run.compute.reduce(
        partial(_try_block, one, source, folder, run.compute.backend),
        _added,
        source.blocks,
        work=source.pool.rows * 256,
    )
    names = map(str, one.rules())
    return {} if counts is None else dict(zip(names, counts.tolist(), strict=True))


def read_failed(block: str, fit: Fit) -> npt.NDArray[np.int8]:
    """Return the number of the first rule that each text of a block fails, (n,) int8."""
    return read_array(storage.join(fit.folder, f"{block}.npy"))


def failed_rules(one: RuleSignal, texts: pa.Array | pa.ChunkedArray, backend: Backend = "cpu") -> npt.NDArray[np.int8]:
    """Return the number of the first rule that each text fails, (n,) int8; 0 passes, -1 is null."""
    from evenkeel.tasks.signal.text.measure import text_statistics

    rules = one.rules()
    return first_failed(rules, text_statistics(texts, {rule.statistic for rule in rules}, one.measures(), backend))


def _try_block(one: RuleSignal, source: "SignalSource", folder: str, backend: Backend, block: str) -> Int64Array:
    failed = failed_rules(one, one.texts(source, block), backend)
    write_array(storage.join(folder, f"{block}.npy"), failed)
    return np.bincount(failed[failed > PASSES], minlength=len(one.rules()) + 1)[1:]


def _added(left: Int64Array, right: Int64Array) -> Int64Array:
    return left + right
