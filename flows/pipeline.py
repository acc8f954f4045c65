"""The order of the steps: a source is clustered, a version is staged from it, and what was staged is proven.

Each function is the same for every way of running steps (`RunStep`): a run, a plan, a sweep, a probe.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from evenkeel.expectations.concerns.diversity import ConditionalEntropy
from evenkeel.expectations.concerns.nearness import Distance
from evenkeel.flows.around_clustering import before_clustering, filter_rows, require_scores, with_signals
from evenkeel.flows.history import Earlier, earlier_versions, sampled_alike
from evenkeel.flows.lineage import Base, Lineage, find_base, same_rule, same_signals
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.target import with_seen_version
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.config import AnnotationRequest
from evenkeel.tasks.annotate.config import in_order as annotations_in_order
from evenkeel.tasks.annotate.inputs import AnnotateInputs
from evenkeel.tasks.annotate.step import ANNOTATE
from evenkeel.tasks.cluster.assign import ASSIGN
from evenkeel.tasks.cluster.config import AssignConfig
from evenkeel.tasks.cluster.drift import Drift
from evenkeel.tasks.cluster.inputs import AssignInputs, ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.cluster.thin import THIN, ThinConfig, ThinInputs
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.must_keep import MUST_KEEP, MustKeepInputs
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs, flat_refs
from evenkeel.tasks.measure.config import MeasureConfig, signals_counted
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.publish.tier import Tier
from evenkeel.tasks.report.config import ReportConfig
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.step import REPORT
from evenkeel.tasks.sample.balanced.steps import KERNEL_DENSITY, PARTITION
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.inputs import KernelDensityInputs, PartitionInputs, SampleInputs, TagCountsInputs
from evenkeel.tasks.sample.step import SAMPLE
from evenkeel.tasks.sample.tags.step import TAG_COUNTS
from evenkeel.tasks.signal.order import signals_among
from evenkeel.tasks.step import RunStep
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.results import results_of
from evenkeel.tasks.validate.stated import columns_of
from evenkeel.tasks.validate.step import VALIDATE
from evenkeel.tasks.validate.tiers import tier_of_results
from evenkeel.tasks.versions.earlier import past_versions, profile_of


@dataclass(frozen=True, kw_only=True)
class ClusteredPool:
    """A source with its clusters and signals: references to the steps it took.

    dedup: what has left before sampling: of the last filter, where filters come after deduplication. unfiltered: the
    clusters as they were made, where a filter removed rows from them.
    """

    ingest: StepRef
    embed: StepRef
    dedup: StepRef
    cluster: StepRef
    signals: Mapping[str, StepRef] = field(default_factory=dict)
    filter: StepRef | None = None
    unfiltered: StepRef | None = None
    must_keep: StepRef | None = None

    def steps(self) -> dict[str, StepRef]:
        """Return the references by name; `signals.loss` is that of a signal."""
        return flat_refs(vars(self))


@dataclass(frozen=True, kw_only=True)
class DrawnVersion(ClusteredPool):
    """A version whose rows are chosen, with what was read for that and how they are annotated."""

    partition: StepRef | None = None
    kernel_density: StepRef | None = None
    tag_counts: StepRef | None = None
    sample: StepRef
    annotations: Mapping[str, StepRef] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StagedVersion(DrawnVersion):
    """A version whose files are written, where no reader looks yet."""

    stage: StepRef

    @property
    def content_key(self) -> str:
        """The hash of the staged files; empty where they are not written."""
        return str(self.stage.facts.get("content_key", ""))


@dataclass(frozen=True, kw_only=True)
class ProvenVersion(StagedVersion):
    """A staged version with its profile, the results of its gates and its card."""

    measure: StepRef
    validate: StepRef
    report: StepRef
    previous: StepRef | None = None
    sources: StepRef | None = None


def cluster_pool(
    recipe: Recipe,
    lineage: Lineage,
    run_step: RunStep,
    on_drift: Callable[[Lineage], None] = lambda _: None,
    on_ingest: Callable[[StepRef], None] = lambda _: None,
) -> ClusteredPool:
    """Run the steps from ingest to cluster.

    `on_ingest` is called once the source is read, before the work begins.
    Where the clusters of the current version do, new rows are assigned to them. Where the pool has drifted too far from
    those, `on_drift` is called and the pool is clustered anew. The lineage learns which base was taken, and why.
    """
    if recipe.provenance is not None:
        recipe.provenance.unused(lineage.request.shards)  # before the work: raises where a shard has no source
    ingest = run_step(INGEST, lineage.request, NoInputs())
    on_ingest(ingest)
    owned = None if recipe.ownership is None else recipe.ownership.must_keep().current()
    must = None if owned is None else run_step(MUST_KEEP, owned, MustKeepInputs(ingest))
    recipe = with_seen_version(recipe, recipe.workspace)
    lineage.base, lineage.why = find_base(recipe, lineage.current, ingest)
    if lineage.base is None:
        return _filtered(recipe, _cluster_anew(recipe, ingest, must, run_step), run_step)
    assert lineage.current is not None
    pinned = same_signals(recipe, lineage.current)
    pool = _assign(pinned, ingest, must, lineage.base, run_step)
    if (reason := _drifted(recipe, lineage, pool.cluster)) is None:
        return _filtered(pinned, pool, run_step)
    lineage.base, lineage.why = None, reason
    on_drift(lineage)
    return _filtered(recipe, _cluster_anew(recipe, ingest, must, run_step), run_step)


def stage_version(recipe: Recipe, lineage: Lineage, pool: ClusteredPool, run_step: RunStep) -> StagedVersion:
    """Run the steps sample, annotate and stage, and before them what the strategy reads."""
    drawn = draw_version(recipe, lineage, pool, run_step)
    return write_version(recipe, drawn, run_step)


def draw_version(
    recipe: Recipe, lineage: Lineage, pool: ClusteredPool, run_step: RunStep, shared: StepRef | None = None
) -> DrawnVersion:
    """Run the steps sample and annotate, and before them what the strategy reads.

    shared: a finished `shared-rows` step, where many versions are drawn from the pool.
    """
    if lineage.base is not None and lineage.current is not None:
        recipe = same_rule(recipe, lineage.current)
    inputs = sample_inputs(recipe.sampling, pool, run_step, shared)
    sample = run_step(SAMPLE, recipe.sampling, inputs)
    annotations = annotate_rows(recipe, pool, sample, run_step)
    measured = {name: getattr(inputs, name) for name in ("partition", "kernel_density", "tag_counts")}
    return DrawnVersion(**vars(pool), **measured, sample=sample, annotations=annotations)


def write_version(
    recipe: Recipe, drawn: DrawnVersion, run_step: RunStep, excerpt: StepRef | None = None
) -> StagedVersion:
    """Run the step stage. excerpt: a finished step that has the rows of a trial, which is read in place of the pool."""
    written = {one.label: drawn.annotations[one.label] for one in recipe.annotations if one.writes()}
    staged = StageInputs(drawn.ingest, drawn.dedup, drawn.cluster, drawn.sample, drawn.signals, written, excerpt)
    stage = run_step(STAGE, recipe.destination.staging(trial=excerpt is not None), staged)
    return StagedVersion(**vars(drawn), stage=stage)


def sample_inputs(
    sampling: SamplingConfig, pool: ClusteredPool, run_step: RunStep, shared: StepRef | None = None
) -> SampleInputs:
    """Run the steps partition, kernel-density and tag-counts where a strategy reads them; return sampling's inputs.

    Sampling is given the signals that its section reads, so that others can change without another sample.
    """
    ingest, embed, dedup, cluster, strategy = pool.ingest, pool.embed, pool.dedup, pool.cluster, sampling.strategy
    partition = density = None
    if (to_partition := strategy.partition_config()) is not None:
        partition = run_step(PARTITION, to_partition, PartitionInputs(ingest, embed, cluster))
    if (to_estimate := strategy.density_config()) is not None:
        density = run_step(KERNEL_DENSITY, to_estimate, KernelDensityInputs(cluster))
    counts = None
    if (to_count := strategy.tag_counts()) is not None:
        tags = {name: pool.signals[name] for name in to_count.over if name in pool.signals}
        counts = run_step(TAG_COUNTS, to_count, TagCountsInputs(ingest, embed, cluster, tags))
    signals = {name: pool.signals[name] for name in signals_among(sampling.reads(), pool.signals)}
    return SampleInputs(ingest, embed, dedup, cluster, partition, density, counts, signals, pool.must_keep, shared)


def annotate_rows(recipe: Recipe, pool: ClusteredPool, sample: StepRef, run_step: RunStep) -> dict[str, StepRef]:
    """Run the step annotate for each annotation of the recipe, after those that it follows; return them by name.

    Each is given the signals that it names and the annotations that it follows, so that others can change without it.
    """
    found: dict[str, StepRef] = {}
    kinds = {one.label: one.kind for one in recipe.annotations}
    for one in annotations_in_order(recipe.annotations):
        measured: dict[str, StepRef | None] = {}
        for strategy in one.strategies():
            asked = sample_inputs(recipe.sampling.model_copy(update={"strategy": strategy}), pool, run_step)
            for name in ("partition", "kernel_density", "tag_counts"):
                measured[name] = measured.get(name) or getattr(asked, name)
        inputs = AnnotateInputs(
            ingest=pool.ingest,
            embed=pool.embed,
            dedup=pool.dedup,
            cluster=pool.cluster,
            sample=sample,
            **{name: ref for name, ref in measured.items() if ref is not None},
            signals={name: pool.signals[name] for name in signals_among(one.reads(), pool.signals)},
            annotations={label: ref for label, ref in found.items() if kinds[label] in one.follows()},
        )
        found[one.label] = run_step(ANNOTATE, AnnotationRequest.of(one), inputs)
    return found


def prove_version(
    recipe: Recipe, workspace: str, staged: StagedVersion, run_step: RunStep, force: bool = False
) -> ProvenVersion:
    """Run the steps measure, validate and report.

    force: these rows become a new version even where the current one holds them; it is compared with the current one.
    """
    earlier = earlier_versions(recipe, workspace, staged.content_key, force)
    last = profile_of(earlier.previous) if earlier.previous is not None else None
    comparable = last if last is not None and sampled_alike(recipe, last) else None
    done = staged.steps() if last is None else {**staged.steps(), "previous": last}
    gates = recipe.gates.expectations()
    joint = [(one.scope, one.given) for one in gates if isinstance(one, ConditionalEntropy)]
    asked = sorted({(one.to, one.by) for one in gates if isinstance(one, Distance)})
    target = recipe.target_set.current() if recipe.target_set is not None else None
    makers = [staged.annotations[one.label] for one in recipe.annotations if one.kind == "made"]
    config = MeasureConfig(
        joint=joint,
        target=target,
        distances=asked,
        signals=signals_counted(gates),
        columns=recipe.profile,
        made=sum(int(ref.facts.get("made", 0)) for ref in makers) if makers else None,
    )
    measure = run_step(MEASURE, config, MeasureInputs.of(done))
    groups = [one.name for one in recipe.signals if one.makes_group]
    stated = dict.fromkeys([*groups, *signals_among(columns_of(gates), staged.signals)])
    judged = {name: ref for name, ref in staged.steps().items() if not name.startswith("signals.")}
    judged |= {f"signals.{name}": staged.signals[name] for name in stated} | {"measure": measure}
    judged |= {} if comparable is None else {"previous": comparable}
    validate = run_step(VALIDATE, recipe.gates, ValidateInputs.of(judged))
    shown = _report_config(recipe, staged, earlier, tier_reached(recipe, validate, None))
    sources = None if recipe.provenance is None else done[f"signals.{recipe.provenance.named('source')}"]
    proof = flat_refs({"measure": measure, "validate": validate, "sources": sources})
    report = run_step(REPORT, shown, ReportInputs.of({**done, **proof}))
    return ProvenVersion(
        **vars(staged), measure=measure, validate=validate, report=report, previous=last, sources=sources
    )


def tier_reached(recipe: Recipe, validate: StepRef, approval: str | None) -> Tier | None:
    """Return the tier of a version with these results of its gates, None where the recipe wants none.

    approval: the reason of the person who approved it, None where nobody did yet.
    """
    if recipe.tier is None or "success" not in validate.facts:  # a plan has no results
        return None
    return tier_of_results(recipe.tier, recipe.gates, results_of(validate), approval)


def draw_card(
    recipe: Recipe,
    workspace: str,
    proven: ProvenVersion,
    place: tuple[int, str],
    run_step: RunStep,
    approval: str | None = None,
) -> ProvenVersion:
    """Return a proven version with the card of the number and the folder that it is published under.

    place: both. The card that the run showed was drawn for the number that it would get if nobody published before it;
    where that came true, it is found in the workspace. approval: the reason of the person who approved it.
    """
    number, folder = place
    drawn = earlier_versions(recipe, workspace, proven.content_key, force=True)
    earlier = Earlier(None, drawn.previous, [version for version in drawn.history if version.version < number])
    tier = tier_reached(recipe, proven.validate, approval)
    config = _report_config(recipe, proven, earlier, tier).model_copy(update={"version": number})
    if folder != proven.stage.facts["location"]:
        config = config.model_copy(update={"location": folder})
    return dataclasses.replace(proven, report=run_step(REPORT, config, ReportInputs.of(proven.steps())))


def _cluster_anew(recipe: Recipe, ingest: StepRef, must: StepRef | None, run_step: RunStep) -> ClusteredPool:
    embed = run_step(EMBED, recipe.embedding, EmbedInputs(ingest))
    left = before_clustering(recipe, flat_refs({"ingest": ingest, "embed": embed, "must_keep": must}), run_step)
    require_scores(recipe, ingest, left.dedup, left.signals, False, run_step)
    cluster = run_step(CLUSTER, recipe.clustering.fitting(), ClusterInputs(ingest, embed, left.dedup))
    return ClusteredPool(ingest=ingest, embed=embed, cluster=cluster, **vars(left))


def _assign(recipe: Recipe, ingest: StepRef, must: StepRef | None, base: Base, run_step: RunStep) -> ClusteredPool:
    embed = run_step(EMBED, recipe.embedding, EmbedInputs(ingest, base.embed if base.fitted else None))
    left = before_clustering(recipe, flat_refs({"ingest": ingest, "embed": embed, "must_keep": must}), run_step)
    require_scores(recipe, ingest, left.dedup, left.signals, False, run_step)
    inputs = AssignInputs(ingest, embed, left.dedup, base.cluster, base.ingest)
    cluster = run_step(ASSIGN, AssignConfig(metric=recipe.clustering.metric), inputs)
    return ClusteredPool(ingest=ingest, embed=embed, cluster=cluster, **vars(left))


def _filtered(recipe: Recipe, pool: ClusteredPool, run_step: RunStep) -> ClusteredPool:
    """Compute the signals that need clusters, and leave out the rows that filters by them remove."""
    signals = with_signals(recipe, pool.steps(), run_step, lambda parts: "clusters" in parts)
    pool = dataclasses.replace(pool, signals=signals)
    _, last = recipe.rules_by_phase()
    if not last:
        require_scores(recipe, pool.ingest, pool.dedup, signals, True, run_step)
        return pool
    sizes = recipe.sampling.rehydrates_by_filters
    removed = filter_rows(last, sizes, pool.steps(), pool.dedup, signals, run_step)
    require_scores(recipe, pool.ingest, removed, signals, True, run_step)
    cluster = run_step(THIN, ThinConfig(), ThinInputs(removed, pool.cluster))
    return dataclasses.replace(pool, dedup=removed, filter=removed, cluster=cluster, unfiltered=pool.cluster)


def _drifted(recipe: Recipe, lineage: Lineage, assigned: StepRef) -> str | None:
    """Return why the pool is clustered anew, None where its clusters do. The lineage learns how far it has drifted."""
    if "drift" not in assigned.facts:
        return None
    lineage.drift = Drift.model_validate(assigned.facts["drift"])
    return lineage.drift.reason(assigned.counts["rows"], recipe.clustering.drift_limit)


def _report_config(recipe: Recipe, staged: StagedVersion, earlier: Earlier, tier: Tier | None) -> ReportConfig:
    same = earlier.same
    return ReportConfig(
        dataset=recipe.dataset,
        recipe=recipe.model_dump(mode="json"),
        version=earlier.number,
        created=earlier.day,
        location=same.location if same is not None and same.location != staged.stage.facts.get("location") else "",
        price_per_hour=recipe.price_per_hour,
        history=past_versions(earlier.history),
        tier=tier,
    )
