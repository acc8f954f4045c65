"""Choose rows one by one by what each adds to a set function, lazily.

Sources. information: MIG (arXiv 2504.13835). entropy: the greedy maximum entropy sampler (GME). coverage: Nemhauser,
Wolsey and Fisher 1978. tasks: BIDS (arXiv 2501.12147). facility, with `domains` budgets by graph cut: SMART (arXiv
2403.08370). determinant: determinantal point processes (arXiv 1709.05135). Lazy evaluation: Minoux 1978.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from evenkeel.expectations.goals import Goal
from evenkeel.infra.dtypes import Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.draw_plan import DrawPlan, one_cell_plan
from evenkeel.tasks.sample.greedy.gains import IN_LEAVES, OF_FEATURES, WITH_QUALITY, Gain
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strategy import CAP, FLOOR, Strategy
from evenkeel.tasks.sample.tags.config import TagCountsConfig

if TYPE_CHECKING:
    from evenkeel.tasks.sample.greedy.features import FeatureSpace
    from evenkeel.tasks.sample.greedy.picks import Picks
    from evenkeel.tasks.sample.strata.count import CrossedStrata
    from evenkeel.tasks.signal.neighbours.cells import Cells


class Greedy(Strategy):
    """Choose rows one by one by what each adds to those before it."""

    obeys: ClassVar[frozenset[str]] = frozenset({FLOOR, CAP})
    goal: ClassVar[Goal] = "plan"

    name: Literal["greedy"] = "greedy"
    gain: Gain = Field(
        description="What a row adds. information, entropy, coverage: of its tags and groups; tasks: influence on the "
        "task that lacks it most; facility, determinant: of its vector, inside its leaf."
    )
    over: str | list[str] = Field(
        default_factory=list,
        description="information, entropy, coverage: signals that are tags, or group.<name>; tasks: score columns, one "
        "for each task.",
    )
    quality: str = Field("", description="information, determinant: a score >= 0 that weighs the rows.")
    similarity: float = Field(
        0.9,
        gt=0,
        le=1,
        description="information: cosine of the mean vectors of two tags from which they share information; 1 = never.",
    )
    times: int = Field(1, ge=1, description="coverage: in how many rows a tag is to be.")
    domains: str = Field("", description="facility: a group column whose values get budgets by graph cut.")
    redundancy: float = Field(0.4, ge=0, le=1, description="With domains: how much likeness of domains counts against.")

    @model_validator(mode="after")
    def _options_fit_the_gain(self) -> Self:
        """Refuse a gain without what it reads, and options that it does not read."""
        needs_over = self.gain not in IN_LEAVES
        if needs_over and not self.names:
            what = "score columns" if self.gain == "tasks" else "signals that are tags, or group.<name>"
            raise ValueError(f"gain: {self.gain} needs over: {what}")
        unread = {
            "over": bool(self.names) and not needs_over,
            "quality": bool(self.quality) and self.gain not in WITH_QUALITY,
            "domains": bool(self.domains) and self.gain != "facility",
            "times": self.times != 1 and self.gain != "coverage",
        }
        if wrong := [name for name, there in unread.items() if there]:
            raise ValueError(f"gain: {self.gain} does not read {' and '.join(wrong)}; remove {wrong[0]}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names in `over`, each once."""
        return tuple(dict.fromkeys([self.over] if isinstance(self.over, str) else self.over)) if self.over else ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names in `over` as columns of features."""
        return tuple(name if name.startswith(("group.", "tags.")) else f"tags.{name}" for name in self.names)

    def obeyed(self) -> frozenset[str]:
        """Return what the rule keeps: floor and cap where leaves have quotas."""
        return self.obeys if self.gain in IN_LEAVES and not self.domains else frozenset()

    def reads(self) -> tuple[str, ...]:
        """Return the tags, groups and scores that the gain is of."""
        features = () if self.gain == "tasks" else self.columns
        domains = [f"group.{self.domains.removeprefix('group.')}"] if self.domains else []
        return (*features, *(f"score.{name}" for name in self.needs_scores()), *domains)

    def needs_scores(self) -> tuple[str, ...]:
        """Return the scores of the tasks, and the quality."""
        return (*(self.names if self.gain == "tasks" else ()), *([self.quality] if self.quality else []))

    def tag_counts(self) -> TagCountsConfig | None:
        """Return which tags are counted: those that are features."""
        tags = [name.removeprefix("tags.") for name in self.columns if name.startswith("tags.")]
        return TagCountsConfig(over=tags) if tags and self.gain in OF_FEATURES else None

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return a draw of the chosen rows. Raises RecipeError for a missing column."""
        if self.gain in IN_LEAVES:
            return self._plan_in_leaves(problem)
        from evenkeel.tasks.sample.greedy.influence import choose_for_tasks
        from evenkeel.tasks.sample.greedy.picks import COLUMNS, Picks
        from evenkeel.tasks.sample.greedy.shards import ShardedGreedy, choose_rows

        if self.gain == "tasks":
            problem.rows.check([f"score.{name}" for name in self.names])
            row_ids, facts = choose_for_tasks(self.names, problem)
        else:
            greedy = ShardedGreedy(self._space(problem), OF_FEATURES[self.gain], float(self.times), problem.seed)
            row_ids, facts = choose_rows(greedy, problem)
        picks = Picks.of(row_ids, problem.folder, problem.scratch, problem.seed)
        facts = {"gain": self.gain, **facts}
        return one_cell_plan(problem, problem.tree.rows, picks, COLUMNS, facts, draw="top", copies=1)

    def _space(self, problem: SamplingProblem) -> "FeatureSpace":
        """Return how features are read, with the graph of tags where information spreads over it."""
        from dataclasses import replace

        from evenkeel.infra import storage
        from evenkeel.infra.tables import read_table
        from evenkeel.tasks.sample.greedy.features import FeatureSpace
        from evenkeel.tasks.sample.greedy.graph import write_graph
        from evenkeel.tasks.sample.strata.count import find_strata

        problem.rows.check([*self.columns, *([f"score.{self.quality}"] if self.quality else [])])
        tables, codings, sizes = {}, {}, []
        for column in self.columns:
            kind, _, name = column.partition(".")
            if kind == "tags":
                assert problem.tag_counts is not None
                tables[column] = storage.join(problem.tag_counts.uri, f"{name}.parquet")
                sizes.append(read_table(tables[column], ["count"]).num_rows)
            else:
                codings[column] = find_strata(problem.rows, [name], problem.compute).coding
                sizes.append(len(codings[column]))
        if not sum(sizes):
            raise RecipeError(
                f"no row has any of the tags of {', '.join(self.names)}",
                where="sampling.strategy.over",
                remedy="check what the entries are matched with, and how they are written",
            )
        first = tuple(int(end) for end in np.cumsum([0, *sizes]))
        shared = self.gain != "coverage"
        space = FeatureSpace(self.columns, tables, codings, first, shared, self.quality)
        if self.gain == "information" and self.similarity < 1 and problem.folder:
            space = replace(space, spread=write_graph(space, self.similarity, problem, problem.folder))
        return space

    def _plan_in_leaves(self, problem: SamplingProblem) -> DrawPlan:
        from evenkeel.tasks.sample.greedy.picks import COLUMNS, Picks

        if self.quality:
            problem.rows.check([f"score.{self.quality}"])
        if self.domains:
            return self._plan_in_domains(problem)
        allocation = problem.fill()
        leaves = np.arange(problem.tree.leaves)
        quotas = np.stack([leaves, np.zeros(len(leaves), np.int64), allocation.quotas], axis=1)
        picks = Picks((), problem.scratch, problem.seed)
        facts: dict[str, object] = {}
        if problem.folder:
            picks, facts = self._choose("", lambda _: quotas[quotas[:, 2] > 0], problem)
        facts = {"gain": self.gain, **facts}
        return DrawPlan(allocation, problem.tree.sizes, None, picks, COLUMNS, draw="top", facts=facts)

    def _plan_in_domains(self, problem: SamplingProblem) -> DrawPlan:
        """Return a draw whose cells are the leaves of every domain, with the budget of the domain over them."""
        from evenkeel.tasks.sample.greedy.domains import domain_means, domain_quotas
        from evenkeel.tasks.sample.greedy.picks import COLUMNS, Picks
        from evenkeel.tasks.sample.strata.count import cross_strata

        crossed = cross_strata(problem.rows, [self.domains], problem.compute)
        means = domain_means(problem, crossed.by_value)
        budgets, allocation = domain_quotas(means, self.redundancy, crossed, problem)
        picks = Picks((), problem.scratch, problem.seed)
        facts: dict[str, object] = {}
        if problem.folder:
            quotas = partial(_labelled, crossed=crossed, quotas=allocation.quotas)
            picks, facts = self._choose(self.domains, quotas, problem)
        names = [crossed.by_value.coding.values(number)[0] for number in range(len(crossed.by_value))]
        facts = {"gain": self.gain, "budgets": dict(zip(names, budgets.tolist(), strict=True)), **facts}
        columns = (*COLUMNS, *crossed.by_value.columns)
        return DrawPlan(allocation, crossed.counts, crossed.pair_of, picks, columns, draw="top", facts=facts)

    def _choose(
        self, group: str, quotas: "Callable[[Cells], Array]", problem: SamplingProblem
    ) -> "tuple[Picks, dict[str, object]]":
        from evenkeel.tasks.sample.greedy.leaves import choose_in_leaves

        return choose_in_leaves(IN_LEAVES[self.gain], group, self.quality, quotas, problem)


def _labelled(cells: "Cells", crossed: "CrossedStrata", quotas: Array) -> Array:
    """Return leaf, label and quota of every cell of a domain, sorted; labels are those of the gathered rows."""
    from evenkeel.tasks.signal.groups import read_groups

    known = {value: label for label, value in enumerate(read_groups(cells.folder).values)}
    coding = crossed.by_value.coding
    labels = np.array([known.get(coding.values(number)[0], -1) for number in range(len(coding))], np.int64)
    found = np.stack([crossed.leaves, labels[crossed.strata], quotas], axis=1)
    found = found[(quotas > 0) & (found[:, 1] >= 0)]
    return found[np.lexsort((found[:, 1], found[:, 0]))]
