"""How evenly an allocation lies over the levels of the hierarchy and over group columns, against a random one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenkeel.expectations.measures import bootstrap_margin, normalised_entropy
from evenkeel.tasks.sample.quotas.tree import ClusterTree

Shares = NDArray[np.float64]
MAX_CLASSES = 1 << 16


@dataclass(frozen=True)
class Scope:
    """A level or a group column, as a linear map from the rows that leaves give to the rows of its classes.

    leaf, of, rate: (m,) the class `of` gets `rate` times the rows of `leaf`. classes: how many are looked at; of very
    many clusters only some are. scale: how many classes each of them represents.
    """

    name: str
    leaf: NDArray[np.int64]
    of: NDArray[np.int64]
    rate: Shares
    classes: int
    scale: float = 1.0

    def lift(self, shares: Shares) -> Shares:
        """Return the share of all rows in every class, (classes,) float64, where leaves give these rows."""
        found: Shares = np.bincount(self.of, shares[self.leaf] * self.rate, self.classes).astype(np.float64)
        return found / max(float(shares.sum()), 1e-300)

    def entropy(self, lifted: Shares) -> float:
        """Return the normalised entropy of what `lift` returns."""
        if self.classes * self.scale < 2:
            return 1.0
        there = lifted[lifted > 0]
        return float(-self.scale * (there * np.log(there)).sum() / np.log(self.classes * self.scale))


def level_scopes(tree: ClusterTree, seed: int) -> list[Scope]:
    """Return the levels, finest first; only clusters with rows count."""
    found, rng = [], np.random.default_rng(seed)
    for level in range(1, tree.depth + 1):
        above = tree.ancestors(level).astype(np.int64)
        there = np.flatnonzero(tree.lift(tree.sizes, level) > 0)
        some = np.sort(rng.permutation(there)[:MAX_CLASSES])
        number = np.full(tree.widths[level - 1], -1)
        number[some] = np.arange(len(some))
        leaf = np.flatnonzero(number[above] >= 0)
        scale = len(there) / max(len(some), 1)
        found.append(Scope(f"level-{level}", leaf, number[above[leaf]], np.ones(len(leaf)), len(some), scale))
    return found


@dataclass(frozen=True)
class Guard:
    """Compares allocations with a random one: by how much they are less even, beyond what sampling noise may do.

    scopes: looked at. floors: (scopes,) the normalised entropy of the random allocation less the noise of one draw.
    lifted: by candidate, its share in every class of every scope.
    """

    scopes: Sequence[Scope]
    floors: Sequence[float]
    lifted: Mapping[str, Sequence[Shares]]

    @classmethod
    def of(cls, scopes: Sequence[Scope], candidates: Mapping[str, Shares], target: int) -> "Guard":
        """Return the guard of some scopes for candidates (k1,), one of them `random`, that keep `target` rows."""
        lifted = {name: [scope.lift(shares) for scope in scopes] for name, shares in candidates.items()}
        random = lifted["random"]
        floors = [
            scope.entropy(shares) - bootstrap_margin(normalised_entropy, shares * target)
            for scope, shares in zip(scopes, random, strict=True)
        ]
        return cls(scopes, floors, lifted)

    def nothing(self) -> list[Shares]:
        """Return shares of zero for every scope, to add candidates to."""
        return [np.zeros(scope.classes) for scope in self.scopes]

    def plus(self, lifted: Sequence[Shares], name: str) -> list[Shares]:
        """Return the shares of every scope with those of a candidate added."""
        return [shares + added for shares, added in zip(lifted, self.lifted[name], strict=True)]

    def shortfalls(self, lifted: Sequence[Shares], parts: int) -> list[float]:
        """Return by how much the mean of some parts is less even than random in every scope, 0 where it is not.

        lifted: the sum of the parts.
        """
        rows = zip(self.scopes, lifted, self.floors, strict=True)
        return [max(0.0, floor - scope.entropy(shares / parts)) for scope, shares, floor in rows]

    def uneven(self, parts: Sequence[str]) -> bool:
        """Tell whether the mean of some candidates is less even than random anywhere."""
        lifted = self.nothing()
        for part in parts:
            lifted = self.plus(lifted, part)
        return any(self.shortfalls(lifted, len(parts)))

    def only(self, names: Sequence[str]) -> "Guard":
        """Return the guard of some scopes."""
        places = [at for at, scope in enumerate(self.scopes) if scope.name in names]
        return Guard(
            [self.scopes[at] for at in places],
            [self.floors[at] for at in places],
            {name: [shares[at] for at in places] for name, shares in self.lifted.items()},
        )
