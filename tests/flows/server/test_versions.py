"""The flows on versions say what the operations say, and have forms that explain their fields."""

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.utilities.callables import parameter_schema

from evenkeel.flows import versions as operations
from evenkeel.flows.recipe import RecipeFile
from evenkeel.flows.repair import repair
from evenkeel.flows.server import versions

FLOWS = [each for each in vars(versions).values() if isinstance(each, Flow)]


@pytest.mark.parametrize("each", FLOWS, ids=lambda one: one.name)
@pytest.mark.long
def test_a_form_explains_every_field(each: Flow) -> None:  # type: ignore[type-arg]
    fields = parameter_schema(each).properties
    if each.name in ("feedback", "approve_mixture"):  # they read its mixture
        assert list(fields["recipe"]["properties"]) == ["file", "overrides"]
    elif each.name != "repair":
        assert next(iter(fields)) == "dataset"
        assert len(fields) <= 6
    assert all("type" in field or "anyOf" in field for field in fields.values())
    assert [name for name, field in fields.items() if not field.get("description")] == []


@pytest.mark.usefixtures("prefect_server")
def test_a_flow_shows_the_sentence_of_its_operation(recipe: str) -> None:
    found = versions.tag(recipe, "1", "production")
    answer = operations.tag(RecipeFile(file=recipe), "1", "production")
    assert found == answer.result.model_dump(mode="json")
    destination = RecipeFile(file=recipe).load().destination.uri
    repaired = repair(destination)
    assert versions.repair(destination) == [one.model_dump(mode="json") for one in repaired.result]
    with get_client(sync_client=True) as client:
        shown = {artifact.description for artifact in client.read_artifacts()}
    assert {answer.sentence, repaired.sentence} <= shown
