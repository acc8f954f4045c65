"""What the server makes of a recipe where the form asks for its file alone."""

import pytest
from prefect.utilities.schema_tools.validation import validate

from evenkeel.flows.recipe import load
from evenkeel.flows.recipe_form import short_form


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({"file": "digits"}, True),
        ({"file": "digits", "overrides": ["sampling.target=5000"]}, True),
        (load("digits").model_dump(mode="json"), True),
        ({"file": ""}, False),
        ({}, False),
    ],
)
def test_a_file_or_a_whole_recipe_is_accepted_and_no_box_of_json_is_drawn(given: dict[str, object], fits: bool) -> None:
    form = short_form()
    assert "anyOf" not in form
    errors = validate({"recipe": given}, {"type": "object", "properties": {"recipe": form}})
    assert (not errors) == fits
