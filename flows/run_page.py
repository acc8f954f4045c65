"""What the page of a run in the Prefect UI shows: the plan, the card, the balance, and links to what came out."""

from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from evenkeel.flows.artifacts import artifact_key, show
from evenkeel.flows.pipeline import ProvenVersion
from evenkeel.flows.plan import plan
from evenkeel.flows.publishing import outcome
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.running import running
from evenkeel.flows.web import address
from evenkeel.infra import storage
from evenkeel.tasks.ingest.quarantine import quarantine_of
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.publish import PublishResult
from evenkeel.tasks.report.balance_words import HELD_OUT, balance_in_words

MOST_REFUSED = 200


def show_plan(recipe: Recipe) -> dict[str, Any]:
    """Show what a run would read and take, and return it. Raises ResourceError where it cannot fit."""
    with running(recipe) as run:
        planned = plan(recipe, run)
    seconds = "\n".join(f"| {name} | {about:,.1f} |" for name, about in planned.expected().items())
    table = f"| step to do | seconds, about |\n| --- | ---: |\n{seconds}" if seconds else ""
    text = "\n\n".join([*planned.summary(), table])
    show(
        create_markdown_artifact,
        text,
        key=artifact_key(recipe.dataset, "plan"),
        description="What a run would take",
    )
    planned.require_fit()
    return planned.model_dump(mode="json")


def show_refused(recipe: Recipe, pool: str | None) -> None:
    """Show the shards and rows that reading the source refused, given the folder of the ingest step; nothing if none.

    A shard or a reason per row, with examples: the table of the card and of `evenkeel quarantine`.
    """
    if pool is None or not (found := quarantine_of(pool)).records:
        return
    show(
        create_table_artifact,
        found.records[:MOST_REFUSED],
        key=artifact_key(recipe.dataset, "quarantine"),
        description=f"Refused: {found.refused_shards:,} shards and {found.refused_rows:,} rows, with examples",
    )


def read_card(proven: ProvenVersion) -> str:
    """Return the card's summary as Markdown."""
    return storage.read_bytes(storage.join(proven.report.uri, "card.md")).decode()


def show_card(recipe: Recipe, proven: ProvenVersion) -> None:
    """Show the card's summary and the balance table."""
    show(
        create_markdown_artifact,
        read_card(proven),
        key=artifact_key(recipe.dataset, "card"),
        description="What this run made",
    )
    held_out = proven.report.facts.get("held_out", {})
    told = f"1 is even. {HELD_OUT.capitalize()}" if held_out else "1 is even"
    show(
        create_table_artifact,
        balance_in_words(Profile.open(proven.measure).records("balance"), held_out),
        key=artifact_key(recipe.dataset, "balance"),
        description=told,
    )


def show_links(recipe: Recipe, folder: str) -> None:
    """Link the card and the Data Docs in `folder`."""
    places = {"card": storage.join(folder, "card.html"), "data docs": storage.join(folder, "docs", "index.html")}
    for name, place in places.items():
        show(
            create_link_artifact,
            address(recipe, place),
            link_text=f"{recipe.dataset}: {name}",
            description=place,
            key=artifact_key(recipe.dataset, f"{name}-link"),
        )


def show_version(recipe: Recipe, published: PublishResult) -> None:
    """Say which version came out and where it lies."""
    lines = [f"**{recipe.dataset} v{published.version}**: {outcome(published)}", ""]
    catalog = storage.join(recipe.destination.uri, recipe.dataset, "index.html")
    pages = {"card": storage.join(published.location, "card.html"), "all versions": catalog}
    lines += [f"- [{name}]({address(recipe, place)})" for name, place in pages.items()]
    lines += [f"- {name}: `{place}`" for name, place in {"folder": published.location, "data": published.data}.items()]
    key = artifact_key(recipe.dataset, "version")
    show(create_markdown_artifact, "\n".join(lines), key=key, description=f"v{published.version}, and where it lies")
