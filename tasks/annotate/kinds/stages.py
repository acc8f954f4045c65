"""Divide the version into stages of training: each has its share of the copies, spread by a rule of its own.

Sources: a temperature that is lowered from stage to stage (Cooldown, arXiv 2410.04579); domains raised in the last
tenth (arXiv 2406.03476); a core that is balanced by group, then ever larger supersets of it (PDE, arXiv 2306.04949).
"""

import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from evenkeel.infra.registry import MemberOf
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.column import Column, Foreseen
from evenkeel.tasks.annotate.seen import Seen
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.thresholds import load
from evenkeel.tasks.sample.config import named_strategy
from evenkeel.tasks.sample.strategy import STRATEGIES, Strategy
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload

if TYPE_CHECKING:
    from evenkeel.tasks.annotate.schedule import CellRule, Schedule
    from evenkeel.tasks.dedup.target_set import TargetSet

PREFIX = "ek_stage_"
MOST = 127  # copies of a row in a stage: what an int8 holds


class Stage(BaseModel):
    """One stage: how much of the training it is, and which rows it takes."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str = Field(pattern=r"^[a-z0-9_]+$", max_length=48, description="Its column is `ek_stage_<name>`.")
    share: float = Field(gt=0, le=1, description="Its share of the copies of the version; all sum to 1.")
    strategy: Annotated[Strategy, MemberOf(STRATEGIES), BeforeValidator(named_strategy)] | None = Field(
        None, description="How it is spread over clusters or groups; null = as the version is."
    )
    raised: dict[str, dict[str, Annotated[float, Field(ge=0, le=1e6)]]] = Field(
        default_factory=dict,
        alias="raise",
        description="Factors by group column and value: `{source: {math: 4}}` takes four times the share of math.",
    )
    nested: bool = Field(
        False, description="Whether it holds all rows of the stage before, and its share is of both together."
    )
    max_repeats: int = Field(MOST, ge=1, le=MOST, description="Copies of a row in the stage at most.")

    @model_validator(mode="after")
    def _one_rule(self) -> "Stage":
        if self.strategy is not None and self.strategy.goal == "weights":
            raise ValueError(
                f"stage {self.name}: the strategy {self.strategy.name} draws rows by weights of their own, and a stage "
                "is drawn from cells; choose balanced, flat, temperature, uniform or another that sets quotas"
            )
        if self.strategy is not None and self.raised:
            raise ValueError(f"stage {self.name}: give strategy or raise, not both")
        return self


class Stages(Annotation):
    """How often each row comes in each stage of training."""

    kind: Literal["stages"] = "stages"
    stages: list[Stage] = Field(default_factory=list, description="The stages in the order of training.")
    temperatures: list[float] = Field(
        default_factory=list,
        description="In place of stages: one of equal share for each temperature, spread by size^(1 / temperature).",
    )
    groups: list[str] = Field(
        default_factory=list, description="With temperatures, the group columns that they weigh; empty = the leaves."
    )

    @classmethod
    def from_section(cls, written: object) -> list[object]:
        """Read a list as that of the stages."""
        return [{"stages": written}] if isinstance(written, list) else [written]

    @model_validator(mode="after")
    def _add_up(self) -> "Stages":
        if self.temperatures:
            if self.stages:
                raise ValueError("stages: give stages or temperatures, not both")
            self.stages = [
                Stage.model_validate({"name": f"{number}", "share": 1 / len(self.temperatures), "strategy": rule})
                for number, rule in enumerate(map(self._tempered, self.temperatures), start=1)
            ]
            self.temperatures, self.groups = [], []
        if not self.stages:
            raise ValueError("stages: there is none")
        names = [stage.name for stage in self.stages]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"stages: two are called {twice[0]!r}")
        if self.stages[0].nested:
            raise ValueError(f"stages: {names[0]} is the first, so there is none before that it could hold")
        for before, stage in zip(self.stages, self.stages[1:], strict=False):
            if stage.nested and stage.share < before.share:
                raise ValueError(f"stages: {stage.name} is nested, so its share is at least {before.share:g}")
        if abs((total := sum(self.added())) - 1) > 1e-6:
            how = ", ".join(f"{stage.name} {part:g}" for stage, part in zip(self.stages, self.added(), strict=True))
            raise ValueError(f"stages: the shares sum to {total:g}, not to 1: {how}")
        return self

    def added(self) -> list[float]:
        """Return the share of copies that each stage adds: of a nested one, what it has beyond the stage before."""
        befores = [0.0, *(stage.share for stage in self.stages)]
        return [
            stage.share - (before if stage.nested else 0.0) for stage, before in zip(self.stages, befores, strict=False)
        ]

    def writes(self) -> list[Column]:
        """Return a column of copies for each stage."""
        about = "how often it comes in the stage {}, {:.4g} of the training"
        return [Column(PREFIX + one.name, "int8", about.format(one.name, one.share)) for one in self.stages]

    def columns(self) -> tuple[str, ...]:
        """Return the group columns that are raised."""
        return tuple(dict.fromkeys(f"group.{group}" for stage in self.stages for group in stage.raised))

    def follows(self) -> tuple[str, ...]:
        """Return the splits: stages are of the rows for training."""
        return ("splits",)

    def strategies(self) -> list[Strategy]:
        """Return the strategies of the stages."""
        return [stage.strategy for stage in self.stages if stage.strategy is not None]

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with each path that a strategy names made absolute."""
        return self._with(lambda rule: rule.with_paths(absolute))

    def with_target(self, target: "TargetSet | None") -> Self:
        """Return it with the recipe's target set in the strategies that read one."""
        return self._with(lambda rule: rule.with_target(target))

    def foresee_values(self, seen: Seen, kept: int) -> list[Foreseen]:
        """Return the values that a stage raises and no row has, and the stages that leave too few rows."""
        found = []
        for stage in self.stages:
            for group, factors in stage.raised.items():
                if (counted := seen.counted([f"group.{group}"])) is None:
                    continue
                there = counted[f"group.{group}"].to_pylist()
                for value in (one for one in factors if one not in there):
                    close = difflib.get_close_matches(value, there, n=1)
                    why = f"the stage {stage.name} raises {group}={value}, and {seen.among} it"
                    remedy = f"did you mean {close[0]}?" if close else "correct the value, or leave it out"
                    found.append(Foreseen(why, remedy, "block" if seen.whole else "warn"))
            if seen.whole and (few := self._too_few(stage, seen, kept)):
                found.append(few)
        return found

    def _too_few(self, stage: Stage, seen: Seen, kept: int) -> Foreseen | None:
        """Return why a stage that leaves values out cannot have its share, None where it can or that is not known."""
        left_out = {group: [value for value in of if not of[value]] for group, of in stage.raised.items()}
        columns = [f"group.{group}" for group, values in left_out.items() if values]
        if not columns or (counted := seen.counted(columns)) is None:
            return None
        taken = np.ones(counted.num_rows, bool)
        for column in columns:
            out = pa.array(left_out[column.removeprefix("group.")], pa.string())
            taken &= ~pc.is_in(counted[column], value_set=out).to_numpy()
        rows, wanted = int(counted["rows"].to_numpy()[taken].sum()), round(stage.share * kept)
        if min(rows, kept) * stage.max_repeats >= wanted:
            return None
        often = "once" if stage.max_repeats == 1 else f"{stage.max_repeats} times"
        why = f"the stage {stage.name} may take {rows:,} rows, each at most {often}, and is of about {wanted:,} copies"
        return Foreseen(why, "lower its share, raise max_repeats, or leave fewer values out", "warn")

    def fit(self, source: AnnotationSource, folder: str, run: Run) -> Mapping[str, object]:
        """Draw the stages one after another, each taking first what those before took least; return their rows."""
        from evenkeel.tasks.annotate.schedule import Schedule, taken_counts

        source = source.training()
        schedule = Schedule.open(source, folder, run, self.seed)
        total = schedule.copies
        ends = np.rint(np.cumsum(self.added()) * total).astype(np.int64)
        told = []
        for number, (stage, copies) in enumerate(zip(self.stages, np.diff(ends, prepend=0).tolist(), strict=True)):
            keep = f"stage{number - 1}" if stage.nested else ""
            rule, array = self._rule(schedule, stage, copies), f"stage{number}"
            schedule.draw(rule, copies, stage.max_repeats, keep, array, self.seed)
            rows, drawn = taken_counts(source, folder, array, run)
            how = stage.strategy.name if stage.strategy is not None else "raised" if stage.raised else "as the version"
            told.append({"name": stage.name, "share": stage.share, "rows": rows, "copies": drawn, "strategy": how})
            run.progress(0.9 * (number + 1) / len(self.stages), f"stage {stage.name}: {drawn:,} copies")
        return {"stages": told}

    def compute(self, source: AnnotationSource, block: str, fit: Fit) -> Mapping[str, pa.Array]:
        """Return how often each row comes in each stage."""
        counts = [load(fit.folder, block, f"stage{number}").astype(np.int8) for number in range(len(self.stages))]
        if source.training() is not source:
            trains = source.kept(block)["ek_split"].to_numpy(zero_copy_only=False) == "train"
            whole = np.zeros((len(counts), len(trains)), np.int8)
            whole[:, trains] = counts
            counts = list(whole)
        return {column.name: pa.array(one) for column, one in zip(self.writes(), counts, strict=True)}

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds on a reference core."""
        return 0.05 + len(self.stages) * (6e-7 * work.rows + 1e-6 * work.kept)

    def _tempered(self, temperature: float) -> dict[str, object]:
        return {"name": "temperature", "temperature": temperature, "groups": self.groups}

    def _rule(self, schedule: "Schedule", stage: Stage, copies: int) -> "CellRule":
        if stage.strategy is not None:
            return schedule.by_strategy(stage.strategy, max(copies, 1), stage.max_repeats, self.seed)
        return schedule.by_factors(stage.raised) if stage.raised else schedule.by_version()

    def _with(self, change: Callable[[Strategy], Strategy]) -> Self:
        stages = [
            stage if stage.strategy is None else stage.model_copy(update={"strategy": change(stage.strategy)})
            for stage in self.stages
        ]
        return self.model_copy(update={"stages": stages})
