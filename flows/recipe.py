"""The recipe: the one parameter of `curate`, composed of the configs that live beside each step."""

import copy
import difflib
import types
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evenkeel.expectations.concerns.inputs import AllowedValues
from evenkeel.expectations.concerns.signals import SignalBound
from evenkeel.flows.apart import overlap
from evenkeel.flows.recipe_text import load_text
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.registry import MemberOf
from evenkeel.tasks.annotate.annotation import ANNOTATIONS
from evenkeel.tasks.annotate.config import SECTIONS, AnyAnnotation, check_apart, with_sections
from evenkeel.tasks.cluster.config import ReusableClustering
from evenkeel.tasks.dedup.config import DedupConfig
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.embed.config import AnyEmbedding
from evenkeel.tasks.embed.embedder import EMBEDDERS
from evenkeel.tasks.filter.config import FilterRule
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.ownership import Ownership
from evenkeel.tasks.mixture.config import MixtureConfig
from evenkeel.tasks.properties.config import ProfileConfig
from evenkeel.tasks.publish.config import DATASET_NAME, DestinationConfig
from evenkeel.tasks.publish.redact import carries_password
from evenkeel.tasks.publish.tier import TierConfig
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.domains import signals_of
from evenkeel.tasks.signal.config import AnySignal, with_short_forms
from evenkeel.tasks.signal.order import in_order, needed_parts, signals_among
from evenkeel.tasks.signal.provenance import Provenance
from evenkeel.tasks.validate.config import Change, GatesConfig

READY = Path(__file__).parent / "recipes"
DATE = "{date}"
"""In source.uri: the day whose partition is read, as 2026-01-31; today's (UTC) where nobody says which."""


class Recipe(BaseModel):
    """What to curate, how, and where to publish it; only dataset, source, sampling and destination are needed."""

    model_config = ConfigDict(extra="forbid", title="Recipe", hide_input_in_errors=True)

    dataset: str = Field(
        pattern=f"^{DATASET_NAME}$",
        description="Name of the dataset: lower-case letters, digits, _ and -. One dataset has one line of versions.",
    )
    source: SourceConfig = Field(description="The shards to read and what their columns mean.")
    provenance: Provenance | None = Field(
        None, description="Where the shards come from and under which licences: columns, gate, card and PROV file."
    )
    embedding: AnyEmbedding = Field(
        default_factory=lambda: EMBEDDERS.get("auto").model_validate({}), description="How rows become vectors."
    )
    signals: list[AnySignal] = Field(
        default_factory=list,
        description="Numbers or tags of every row, joined or computed once, usable wherever a score is.",
    )
    filters: list[FilterRule] = Field(
        default_factory=list,
        description="Rules by which rows leave before sampling, each with its rule as the reason; the first that holds "
        "counts.",
    )
    target_set: TargetSet | None = Field(
        None, description="Rows from elsewhere that a version should resemble, for the strategy and signal `toward`."
    )
    dedup: DedupConfig = Field(
        default_factory=DedupConfig, description="Which rows are duplicates, and which must not be in the dataset."
    )
    clustering: ReusableClustering = Field(
        default_factory=ReusableClustering, description="The hierarchy of clusters over the vectors."
    )
    sampling: SamplingConfig = Field(description="How many rows to keep, and by which rule.")
    annotations: list[AnyAnnotation] = Field(
        default_factory=list,
        description="What a trainer follows besides the rows: columns of the version, made after sampling.",
    )
    mixture: MixtureConfig | None = Field(
        None,
        description="Which share of a version each domain gets; some rules learn it from training.",
        exclude_if=lambda mixture: mixture is None,
    )
    profile: ProfileConfig | None = Field(
        None, description="What is found out about the columns of a version, for its card; null = nothing."
    )
    gates: GatesConfig = Field(default_factory=GatesConfig, description="What a version must pass to be published.")
    destination: DestinationConfig = Field(description="Where versions are published.")
    workspace: str = Field(
        ".evenkeel/workspace", description="Where steps keep their outputs: a folder or any fsspec URI.", min_length=1
    )
    compute: str = Field(
        "local", description="Where work runs: inline, local, gpu, kubernetes, slurm or tcp://host:port."
    )
    memory_gib: float | None = Field(
        None,
        gt=0,
        description="GiB of memory that one process of a run may take, the driver and each worker; no row depends on "
        "it. null = the processes share 80 % of the machine, and workers elsewhere take what they have.",
    )
    ownership: Ownership | None = Field(
        None, description="Rows that must be kept, and where the keys are that prove whose rows a model was trained on."
    )
    tier: TierConfig | None = Field(
        None, description="The tier that versions shall have, L0 to L4, and what they must have passed for it."
    )
    price_per_hour: float | None = Field(
        None,
        ge=0,
        description="Price of an hour of the machines, in any currency: the card says what a version cost.",
    )

    @model_validator(mode="after")
    def _provenance_brings_signals_and_a_gate(self) -> "Recipe":
        """Put the columns of the table of sources among the signals, and the licences that are allowed among gates."""
        if (given := self.provenance) is None:
            return self
        self.signals += [signal for signal in given.signals() if signal not in self.signals]
        if given.allow:
            gate = AllowedValues(scope=f"group.{given.named('licence')}", allowed=given.allow)
            self.gates.add += [gate] if gate not in self.gates.add else []
        return self

    @model_validator(mode="after")
    def _quarantine_gate_follows_the_source(self) -> "Recipe":
        """Let the gate on refused rows allow what the source does, unless the gates say themselves what they allow."""
        limit, name = self.source.max_quarantined, "quarantine_rate"
        said = name in self.gates.remove or any(one.expectation == name for one in self.gates.change)
        if limit != SourceConfig.model_fields["max_quarantined"].default and self.gates.suite != "strict" and not said:
            self.gates.change.append(Change(expectation=name, parameter="at_most", value=limit))
        return self

    @model_validator(mode="after")
    def _tier_is_within_reach(self) -> "Recipe":
        """Refuse a tier that no version of the recipe can have."""
        if (given := self.tier) is None:
            return self
        allowed = [] if self.provenance is None else self.provenance.allow
        if why := given.conflict(self.gates.suite, self.gates.remove, self.gates.approval, allowed):
            raise ValueError(f"tier: no version can have {given.name}: {why}")
        return self

    @model_validator(mode="after")
    def _gates_look_at_columns_there_are(self) -> "Recipe":
        """Refuse a gate on a group column that the source does not have, before anything is computed."""
        for one in self.gates.expectations():
            column = str(getattr(one, "scope", "")).partition("group.")[2]
            groups = [*self.source.groups, *(signal.name for signal in self.signals if signal.makes_group)]
            if column and column not in groups:
                known = ", ".join(groups) or "none"
                raise ValueError(f"gates: {one.label} needs a column that is not in source.groups; it has {known}")
            kind, _, concept = str(getattr(one, "given", "")).partition(".")
            tags = [signal.name for signal in self.signals if signal.tags]
            if concept and concept not in (groups if kind == "group" else tags):
                known = ", ".join([*(f"group.{name}" for name in groups), *(f"tags.{name}" for name in tags)])
                raise ValueError(f"gates: {one.label} is given {kind}.{concept}, which is not among {known or 'none'}")
        return self

    @model_validator(mode="after")
    def _target_is_known_where_it_is_read(self) -> "Recipe":
        """Give the target set to the strategy and signals that read it, and keep its copies out of the pool."""
        aims = [
            one for one in self.gates.expectations() if one.expect == "distance" and getattr(one, "to", "") == "target"
        ]
        if aims and self.target_set is None:
            raise ValueError(f"gates: {aims[0].label} needs target_set: the rows that the version should be near to")
        self.sampling.strategy = self.sampling.strategy.with_target(self.target_set).with_amount(self.sampling.amount)
        self.signals = [signal.with_target(self.target_set) for signal in self.signals]
        self.annotations = [one.with_target(self.target_set) for one in self.annotations]
        copies = [] if self.target_set is None else self.target_set.exclusions()
        self.dedup.exclude += [one for one in copies if one not in self.dedup.exclude]
        return self

    @model_validator(mode="after")
    def _mixture_steers_sampling(self) -> "Recipe":
        """Let sampling go by the mixture, where its rule needs no training; refuse domains that there are none of."""
        if self.mixture is None:
            return self
        groups = [*self.source.groups, *(signal.name for signal in self.signals if signal.makes_group)]
        if self.mixture.group and self.mixture.group not in groups:
            raise ValueError(
                f"mixture: domains: {self.mixture.domains} is no group column; there are {', '.join(groups) or 'none'}"
            )
        if (steering := self.mixture.steering()) is not None:
            self.sampling = SamplingConfig.model_validate({**vars(self.sampling), "mixture": steering})
        return self

    @model_validator(mode="after")
    def _strategy_brings_signals(self) -> "Recipe":
        """Put the signals that strategies and the mixture bring themselves among those of the recipe."""
        strategies = [self.sampling.strategy, *(rule for one in self.annotations for rule in one.strategies())]
        brought = [signal for rule in strategies for signal in rule.signals()]
        brought += signals_of(self.sampling.mixture, self.target_set)
        self.signals += [signal for signal in brought if signal not in self.signals]
        return self

    @model_validator(mode="after")
    def _strategy_tells_of_its_draw(self) -> "Recipe":
        """Give the strategy the group columns that it goes by, and annotate rows with what it tells of their draw."""
        groups = [*self.source.groups, *(signal.name for signal in self.signals if signal.makes_group)]
        self.sampling.strategy = self.sampling.strategy.with_groups(groups)
        told = self.sampling.strategy.annotations()
        for one in self.annotations:
            if one.of_draw and one.kind not in told:
                raise ValueError(f"annotations: the strategy {self.sampling.strategy.name} has nothing for {one.kind}")
        there = {one.kind for one in self.annotations}
        self.annotations += [ANNOTATIONS.get(kind).model_validate({}) for kind in told if kind not in there]
        return self

    @model_validator(mode="after")
    def _gates_look_at_signals_there_are(self) -> "Recipe":
        """Refuse a gate on a signal that is not there or is no number, or by a group that is not there."""
        numbers = [*self.source.scores, *(one.name for one in self.signals if not (one.tags or one.makes_group))]
        groups = [*self.source.groups, *(one.name for one in self.signals if one.makes_group)]
        for one in self.gates.expectations():
            if not isinstance(one, SignalBound):
                continue
            if one.name not in numbers:
                known = ", ".join(numbers) or "none"
                raise ValueError(f"gates: {one.label} needs a signal or score of that name that is a number: {known}")
            if one.by and one.by.removeprefix("group.") not in groups:
                known = ", ".join(f"group.{name}" for name in groups) or "none"
                raise ValueError(f"gates: {one.label} is by a column that is no group; it has {known}")
        return self

    @model_validator(mode="after")
    def _signals_have_names_of_their_own(self) -> "Recipe":
        """Refuse two signals of one name, one that is a column of the source, and those that read each other."""
        scores, taken = dict.fromkeys(self.source.scores, "a score"), dict.fromkeys(self.source.groups, "a group")
        for signal in self.signals:
            known = taken if signal.makes_group else scores | taken
            if signal.name in known:
                raise ValueError(f"signals: {signal.name!r} is {known[signal.name]} already; choose another name")
            taken[signal.name] = "a signal"
        try:
            in_order(self.signals)
        except RecipeError as error:
            raise ValueError(f"signals: {error.message}: {error.found}") from error
        return self

    @model_validator(mode="after")
    def _annotations_are_apart(self) -> "Recipe":
        """Refuse two annotations of one name or column, and a group or score that there is not."""
        check_apart(self.annotations)
        groups = [*self.source.groups, *(signal.name for signal in self.signals if signal.makes_group)]
        scores = [*self.source.scores, *(signal.name for signal in self.signals)]
        tags = [signal.name for signal in self.signals if signal.tags]
        for one in self.annotations:
            for column in one.reads():
                kind, _, name = column.partition(".")
                known = {"group": groups, "score": scores, "tags": tags}.get(kind)
                if name and known is not None and name not in known:
                    raise ValueError(f"annotations: {one.label} reads {column}, not among {', '.join(known) or 'none'}")
        return self

    @model_validator(mode="after")
    def _filters_say_what_rehydration_asks(self) -> "Recipe":
        """Refuse removal rates without filters, and ranking duplicates by what is known only after clustering."""
        if self.sampling.rehydrates_by_filters and not self.filters:
            raise ValueError("sampling: rehydrate: auto goes by what filters remove, and the recipe has no filters")
        if "clusters" in needed_parts(self.signals).get(self.dedup.best or "", frozenset()):
            raise ValueError(f"dedup: best: the signal {self.dedup.best!r} needs clusters, which come after")
        return self

    @model_validator(mode="after")
    def _a_k_means_fits_a_process(self) -> "Recipe":
        """Refuse one k-means that may take more than a process may."""
        if (most := self.memory_gib) is not None and self.clustering.memory_gib > most:
            raise ValueError(
                f"clustering: one k-means may take {self.clustering.memory_gib:g} GiB, and a process {most:g} "
                f"(memory_gib); set clustering.memory_gib to {most / 2:g}, or raise memory_gib"
            )
        return self

    @model_validator(mode="after")
    def _places_are_apart(self) -> "Recipe":
        """Refuse a workspace or destination inside the source or inside one another, before anything is read."""
        sources = [self.source.uri] if isinstance(self.source.uri, str) else self.source.uri
        if problem := overlap(self.dataset, sources, self.workspace, self.destination.uri):
            raise ValueError(problem)
        return self

    @model_validator(mode="before")
    @classmethod
    def _entries_and_bins_are_signals(cls, document: object) -> object:
        return with_sections(with_short_forms(document)) if isinstance(document, dict) else document

    @model_validator(mode="before")
    @classmethod
    def _no_passwords(cls, document: object) -> object:
        for field, value in _texts(document):
            if carries_password(value):
                raise ValueError(f"{field}: a password has no place in a recipe: take it from the environment")
        return document

    def rules_by_phase(self) -> tuple[list[FilterRule], list[FilterRule]]:
        """Return the filters that come before clustering, and those that need clusters for their signals.

        Where removal rates by the size of duplicate groups are asked for and a filter needs clusters, all come after.
        """
        parts = needed_parts(self.signals)
        late = [any("clusters" in parts[name] for name in signals_among(one.columns, parts)) for one in self.filters]
        if self.sampling.rehydrates_by_filters and any(late):
            return [], self.filters
        both = list(zip(self.filters, late, strict=True))
        return [rule for rule, after in both if not after], [rule for rule, after in both if after]


class RecipeFile(BaseModel):
    """A recipe kept in a file that the worker can read."""

    model_config = ConfigDict(extra="forbid", title="Recipe file")

    file: str = Field(description="Path of a recipe YAML on the worker, or the name of a ready recipe.", min_length=1)
    overrides: list[str] = Field(
        default_factory=list, description="Changes to it, as section.field=value; for instance sampling.target=5000."
    )

    def load(self) -> Recipe:
        """Return the recipe the file describes; raises RecipeError."""
        return load(self.file, self.overrides)


def loaded(recipe: Recipe | RecipeFile) -> Recipe:
    """Return the recipe itself, or the one that its file holds."""
    return recipe.load() if isinstance(recipe, RecipeFile) else recipe


def called(recipe: object) -> str:
    """Return what a run of a recipe is called after: its dataset, or the file that says it."""
    return str(getattr(recipe, "dataset", None) or getattr(recipe, "file", ""))


def _texts(document: object, field: str = "") -> typing.Iterator[tuple[str, str]]:
    """Yield every text in a plain document with the name of its field."""
    if isinstance(document, str):
        yield field, document
    elif isinstance(document, dict | list):
        for name, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from _texts(value, f"{field}.{name}" if field else str(name))


def load(path: str | Path, overrides: typing.Sequence[str] = (), *, day: str = "") -> Recipe:
    """Return the recipe at `path` (a YAML file, or the name of a ready one) with `section.field=value` overrides.

    day: what {date} in source.uri stands for; today where it is empty. Raises RecipeError naming the field, the value
    and the remedy.
    """
    return parse(_read(path), overrides, where=str(path), day=day)


def parse(
    document: dict[str, Any], overrides: typing.Sequence[str] = (), *, where: str = "recipe", day: str = ""
) -> Recipe:
    """Return the recipe of a plain document with overrides applied; raises RecipeError."""
    document = copy.deepcopy(document)
    for override in overrides:
        _override(document, override)
    if isinstance(source := document.get("source"), dict) and "uri" in source:
        source["uri"] = _dated(source["uri"], day or f"{datetime.now(UTC):%Y-%m-%d}")
    try:
        return Recipe.model_validate(document)
    except RecursionError as error:
        raise RecipeError(f"{where} refers to itself, or is nested without end", remedy="remove the anchor") from error
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
        noun = "problem" if len(problems) == 1 else "problems"
        raise RecipeError(
            f"{len(problems)} {noun} in {where}:\n" + "\n".join(f"  - {line}" for line in problems)
        ) from error


def _dated(uri: object, day: str) -> object:
    if isinstance(uri, list):
        return [_dated(one, day) for one in uri]
    return uri.replace(DATE, day) if isinstance(uri, str) else uri


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a recipe, with the sections that are shorter forms of others."""
    schema = Recipe.model_json_schema()
    short = {"signals": ("entries", "bins"), "annotations": SECTIONS}
    for section, names in short.items():
        about = f"A shorter form of {section}."
        schema["properties"] |= {name: {"type": ["object", "array"], "description": about} for name in names}
    return schema


def ready_recipes() -> list[str]:
    """Return the names of the recipes that come with the product, sorted."""
    return sorted(path.stem for path in READY.glob("*.yaml"))


def _read(path: str | Path) -> dict[str, Any]:
    file = Path(path)
    if not file.is_file() and (READY / f"{path}.yaml").is_file():
        file = READY / f"{path}.yaml"
    try:
        document = load_text(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(
            f"there is no recipe at {path}",
            expected=f"a YAML file, or one of the ready recipes: {', '.join(ready_recipes())}",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe at {path} cannot be read", found=str(error)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"the recipe at {path} is not YAML", found=str(error)) from error
    if not isinstance(document, dict):
        raise RecipeError(
            f"the recipe at {path} holds no fields",
            expected="dataset, source, sampling, destination",
            found=repr(document),
        )
    return document


def _override(document: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError(f"cannot read --set {override!r}", expected="section.field=value")
    try:
        value = load_text(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"cannot read the value of --set {override!r}", found=str(error)) from error
    *sections, name = path.split(".")
    place = document
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise RecipeError(f"cannot set {path}: {section} is not a section", found=repr(place))
    place[name] = value


def _explain(problem: Any) -> str:
    """Return one line for one pydantic problem: the field, what is wrong, the value, and what to do."""
    field = ".".join(str(part) for part in problem["loc"]) or "recipe"
    if problem["type"] == "extra_forbidden":
        *sections, name = [str(part) for part in problem["loc"]]
        known = sorted(_fields_at(Recipe, sections))
        close = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {close[0]}?" if close else f"known fields here: {', '.join(known)}" if known else ""
        return f"{field}: there is no such field{'; ' + remedy if remedy else ''}"
    if problem["type"] == "missing":
        return f"{field}: is needed and not given"
    found = "" if isinstance(problem.get("input"), dict | list) else f" (found {problem.get('input')!r})"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}{found}"


def _fields_at(annotation: object, path: list[str], marks: typing.Iterable[object] = ()) -> set[str]:
    """Return the field names that a recipe knows at `path`, through optional, annotated and union types.

    marks: what is annotated. The path of a member of a list begins with its number, that of a member of an open kind or
    a union with its name.
    """
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if open_kinds := [mark.registry for mark in marks if isinstance(mark, MemberOf)]:
        return _fields_at(open_kinds[0].get(path[0]), path[1:])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return set(annotation.model_fields)
        field = annotation.model_fields.get(path[0])
        return (
            _fields_at(annotation, path[1:])
            if field is None
            else _fields_at(field.annotation, path[1:], field.metadata)
        )
    if origin is Annotated:
        return _fields_at(parts[0], path, parts[1:])
    if origin is list:
        return _fields_at(parts[0], path[1:])
    if origin in (typing.Union, types.UnionType):
        return set().union(*(_fields_at(part, path) for part in parts))
    return set()
