"""The sums of a version as a small table of its profile, by which the next version is compared with it."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.distance.space import Space
from evenkeel.tasks.distance.sums import SetSummary

SCHEMA = pa.schema([("name", pa.string()), ("value", pa.float64())])
MAP = "map:"


class Record(NamedTuple):
    """The sums over a version's rows, and the space that they were taken in. share: of its rows that were sampled."""

    space: Space
    version: SetSummary
    share: float

    def table(self) -> pa.Table:
        """Return it as a table `name, value`: the numbers of each array in order; a row without one names the map."""
        parts = {
            "width": self.space.width,
            "centre": self.space.centre,
            "axes": self.space.axes,
            **self.version._asdict(),
            "share": self.share,
        }
        values = [np.asarray(part, np.float64).ravel() for part in parts.values()]
        names = np.repeat(np.array(list(parts), object), [len(part) for part in values])
        numbers = pa.table([pa.array(names, pa.string()), pa.array(np.concatenate(values))], schema=SCHEMA)
        made_by = pa.table([[MAP + self.space.map], [None]], schema=SCHEMA)
        return pa.concat_tables([made_by, numbers])

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Record | None":
        """Return the record of such a table; None where it is empty, as in profiles of an earlier release."""
        if table.empty:
            return None
        found: dict[str, Float64Array] = {
            str(name): part.to_numpy(np.float64) for name, part in table.groupby("name", sort=False)["value"]
        }
        made_by = next(name for name in found if name.startswith(MAP)).removeprefix(MAP)
        centre, axes = found["centre"].astype(np.float32), len(found["sums"])
        rows, squares, noise, width, share = (
            float(found[name][0]) for name in ("rows", "squares", "noise", "width", "share")
        )
        products = found["products"].reshape(axes, axes)
        version = SetSummary(rows, squares, found["waves"], found["sums"], products, noise)
        space = Space(made_by, width, centre, found["axes"].reshape(len(centre), axes).astype(np.float32))
        return cls(space, version, share)
