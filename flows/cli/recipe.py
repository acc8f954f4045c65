"""The verb that describes recipes."""

import json

import click

from evenkeel.flows import recipe_docs
from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.recipe import json_schema

MARKDOWN = click.option("--markdown", is_flag=True, help="A table of all fields instead of the JSON schema.")


@verb(MARKDOWN, recipe=False)
def schema(markdown: bool) -> Answer[object]:
    """Print the JSON schema of a recipe."""
    found = json_schema()
    words = recipe_docs.table() if markdown else json.dumps(found, indent=2, ensure_ascii=False)
    return Answer(found, words)
