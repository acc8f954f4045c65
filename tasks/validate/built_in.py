"""Evaluate expectations of Great Expectations on the rows of the version: block by block, or on a sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from evenkeel.expectations.concerns.built_in import BuiltIn
from evenkeel.expectations.concerns.privacy import mask
from evenkeel.expectations.expectation import Expectation
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.ingest.pool import Block
from evenkeel.tasks.properties.version_rows import VersionRows
from evenkeel.tasks.step import Run
from evenkeel.tasks.validate.examples import read_examples, shorten

if TYPE_CHECKING:
    from evenkeel.expectations.payload import Checked

COLUMNS = [
    "key",
    "success",
    "by_row",
    "elements",
    "missing",
    "unexpected",
    "observed",
    "error",
    "where",
    "unexpected_rows",
]
ROW_ID = "ek_row_id"
LENGTH, SEED = 160, 0x6E


def check_built_in(expectations: Sequence[Expectation]) -> None:
    """Raise RecipeError where the library refuses the parameters of one of its expectations."""
    if not (theirs := [one for one in expectations if isinstance(one, BuiltIn)]):
        return
    from evenkeel.expectations.payload import complaint  # Great Expectations takes seconds to import

    for one in theirs:
        if problem := complaint(one):
            raise RecipeError(
                f"Great Expectations does not take the parameters of {one.type}",
                found=problem,
                where="gates",
                remedy="correct them; its gallery of expectations lists what each takes",
            )


def measure_built_in(
    expectations: Sequence[Expectation], rows: VersionRows, kept: int, sample_rows: int, run: Run
) -> pd.DataFrame:
    """Return the table `built_in`: one row for each expectation of the library.

    kept: rows of the version. sample_rows: about how many are read for those that need rows together, chosen by the
    hash of their identity.
    """
    theirs = list({one.key: one for one in expectations if isinstance(one, BuiltIn)}.values())
    if not theirs:
        return pd.DataFrame(columns=COLUMNS)
    from evenkeel.expectations.payload import check_frame, looks_at_rows

    for one in theirs:
        rows.check(one.columns)
    alone = [one for one in theirs if looks_at_rows(one.type)]
    together = [one for one in theirs if one not in alone]
    found: dict[str, tuple[Checked, str]] = {}
    if alone:
        work = rows.pool.rows * 1024
        parts = run.compute.reduce(_Blocks(tuple(alone), rows), _added, rows.pool.blocks, work=work) or []
        where = f"on all {kept:,} rows of the version, block by block"
        found |= {one.key: (part, where) for one, part in zip(alone, parts, strict=False)}
    if together and kept:
        share = min(1.0, sample_rows / kept)
        sample = _Sampled(_columns(together, rows), share, rows)
        frame = pa.concat_tables(run.compute.map(sample, rows.pool.blocks, work=sample_rows * 256)).to_pandas()
        where = f"on all {kept:,} rows of the version"
        if share < 1:
            where = f"on a sample of {len(frame):,} of {kept:,} rows of the version"
        if len(frame):
            found |= {one.key: (part, where) for one, part in zip(together, check_frame(frame, together), strict=True)}
    named = sorted({row for part, _ in found.values() for row, _ in part.rows})
    ids = {row: example.id for row, example in read_examples(rows.pool, named).items()}
    lines = [_line(key, part, where, ids) for key, (part, where) in found.items()]
    return pd.DataFrame(lines, columns=COLUMNS)


def _line(key: str, part: "Checked", where: str, ids: dict[int, str]) -> dict[str, object]:
    rows = [
        {
            "scope": "row",
            "name": ids.get(row, str(row)),
            "why": f"{shorten(mask(held), LENGTH)} (row_id {row})",
        }
        for row, held in part.rows
    ]
    return {**part._asdict(), "key": key, "where": where, "unexpected_rows": rows}


def _columns(expectations: Sequence[BuiltIn], rows: VersionRows) -> tuple[str, ...]:
    """Return the columns that some expectations read; all of the source where one asks for names or numbers."""
    if any(not one.columns for one in expectations):
        return tuple(dict.fromkeys([*rows.pool.info.payload, *(name for one in expectations for name in one.columns)]))
    return tuple(dict.fromkeys(name for one in expectations for name in one.columns))


@dataclass(frozen=True)
class _Blocks:
    expectations: tuple[BuiltIn, ...]
    rows: VersionRows

    def __call__(self, block: Block) -> "list[Checked]":
        from evenkeel.expectations.payload import Checked, check_frame

        table = self.rows.table(block, _columns(self.expectations, self.rows))
        if not table.num_rows:
            return [Checked(True, by_row=True) for _ in self.expectations]
        names = [*table.column_names[:-1], ROW_ID]
        return check_frame(table.rename_columns(names).to_pandas(), self.expectations)


@dataclass(frozen=True)
class _Sampled:
    columns: tuple[str, ...]
    share: float
    rows: VersionRows

    def __call__(self, block: Block) -> pa.Table:
        table = self.rows.table(block, self.columns)
        of_pool = self.rows.pool.table(block, ["row_id", "identity"])
        place = np.searchsorted(of_pool["row_id"].to_numpy(), table["row_id"].to_numpy())
        chosen = uniform(SEED, of_pool["identity"].to_numpy()[place]) <= self.share
        return table.filter(pa.array(chosen)).rename_columns([*table.column_names[:-1], ROW_ID])


def _added(one: "list[Checked]", other: "list[Checked]") -> "list[Checked]":
    return [mine.add(its) for mine, its in zip(one, other, strict=True)]
