"""Names and places: what may become a folder, a table, a tag."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.publish.config import DestinationConfig, check_dataset_name, check_tag_name
from evenkeel.tasks.publish.layout import dataset_folder

EVIL = ["..", "a/../b", "a b", "", "/etc", "a\\b", "A", "x" * 65, "é", "a\nb", "-a", ".a", "a'; drop table", "a%2e%2e"]


@pytest.mark.parametrize("name", EVIL)
def test_evil_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        check_dataset_name(name)
    with pytest.raises(ValueError, match="is not a tag"):
        check_tag_name(name)
    with pytest.raises(RecipeError, match="not a dataset name"):
        dataset_folder("/tmp", name)


@pytest.mark.parametrize("name", ["v7", "v0", "main", "audit-x"])
def test_names_of_versions_are_not_tags(name: str) -> None:
    with pytest.raises(ValueError, match="kept for the versions"):
        check_tag_name(name)


@given(st.text(max_size=70))
def test_an_accepted_name_is_one_plain_folder(name: str) -> None:
    try:
        check_dataset_name(name)
    except ValueError:
        return
    assert dataset_folder("/tmp/x", name) == f"/tmp/x/{name}"
    assert name.isascii()


@pytest.mark.parametrize("field", ["uri", "catalog"])
def test_passwords_are_refused_and_not_repeated(field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DestinationConfig.model_validate({"uri": "s3://bucket", field: "s3://key:hunter2@bucket/x"})
    assert "hunter2" not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize("uri", ["", " ", "s3://b/../c", "../x", " /tmp"])
def test_odd_destinations_are_refused(uri: str) -> None:
    with pytest.raises(ValidationError):
        DestinationConfig(uri=uri)


def test_what_does_not_touch_the_files_does_not_stage_again() -> None:
    one = DestinationConfig(uri="/tmp/x")
    assert one.staging() == one.model_copy(update={"tag": "prod", "catalog": "sqlite:////tmp/c.db"}).staging()
