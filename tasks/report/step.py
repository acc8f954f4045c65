"""The report step: the card as a page, as a short summary and as a README. It is part of the version."""

from evenkeel.expectations.data_docs import Subject, render_data_docs
from evenkeel.infra import storage
from evenkeel.infra.tables import write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.layout import CLUSTERS
from evenkeel.tasks.report.cluster_map import map_clusters
from evenkeel.tasks.report.cluster_names import last_names, look_at_rows, name_clusters
from evenkeel.tasks.report.config import ReportConfig
from evenkeel.tasks.report.facts import CardFacts, gather
from evenkeel.tasks.report.findings import headline, of_gates, of_hedge
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.readme import render_readme
from evenkeel.tasks.report.summary import render_summary
from evenkeel.tasks.report.treemap import draw_boxes
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

MAX_DRAWN = 20_000  # clusters of the card's charts


def report(config: ReportConfig, inputs: ReportInputs, out: StepFolder, run: Run) -> Outcome:
    """Write card.html, card.md, README.md, the Data Docs in docs/ and clusters.parquet."""
    if inputs.stage is not None and not config.location:
        config = config.model_copy(update={"location": str(inputs.stage.facts.get("location", ""))})
    from evenkeel.tasks.report.page import render_page  # imports Altair and the renderer of its charts

    run.progress(0.05, "gathering the facts")
    facts = gather(config, inputs, str(run.scratch))
    run.progress(0.15, "naming the clusters")
    hierarchy, pool = Hierarchy.open(inputs.cluster), Pool.open(inputs.ingest, run.scratch)
    last = last_names(inputs.previous, hierarchy.centroid_hash)
    rows = look_at_rows(inputs.sample, pool, hierarchy)
    names = name_clusters(hierarchy, Profile.open(inputs.measure).clusters, rows, last)
    write_table(out.path(CLUSTERS), names)
    run.progress(0.3, "drawing the map of clusters")
    clusters = map_clusters(facts, inputs, pool)
    run.progress(0.6, "drawing the charts")
    page = render_page(facts, clusters, draw_boxes(facts, names)).encode()
    storage.write_bytes(out.path("card.html"), page)
    storage.write_bytes(out.path("card.md"), render_summary(facts).encode())
    storage.write_bytes(out.path("README.md"), render_readme(facts).encode())
    for name, words in render_data_docs(facts.results, subject(facts)).items():
        storage.write_bytes(out.path("docs", name), words.encode())
    told = {"headline": headline(facts), "hedge": of_hedge(facts), "gates": of_gates(facts), "held_out": facts.held_out}
    return Outcome(counts={"bytes": len(page)}, facts=told)


def subject(facts: CardFacts) -> Subject:
    """Return what the Data Docs say they are of: the same as the card."""
    number = None if facts.blocked else facts.config.version
    version = "not published" if facts.blocked else f"version {number}" if number else ""
    return Subject(facts.config.dataset, version, facts.config.created)


def cost(config: ReportConfig, work: Workload) -> float:
    """Return the CPU-seconds of drawing the card."""
    return 1.5 + 4e-4 * min(work.leaves, MAX_DRAWN)


REPORT = Step("report", 11, report, cost=cost)
