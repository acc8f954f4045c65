"""What the card offers where rows were drawn at random is a line that a recipe can hold."""

from types import SimpleNamespace
from typing import cast

import pytest
import yaml

from evenkeel.tasks.report.facts import CardFacts
from evenkeel.tasks.report.findings import of_hedge


@pytest.mark.parametrize(
    "column", ["kind", "a, kind: [x] #", "a line\nbreak", "many words " * 20 + "x", "语言", "yes", "it's", "1"]
)
def test_the_strategy_offered_is_one_line_of_yaml_and_names_the_column(column: str) -> None:
    group = SimpleNamespace(title=column)
    facts = SimpleNamespace(hedged=1.0, agreement=0.1, reference=0.1, groups=[group])
    offered = of_hedge(cast(CardFacts, facts)).rpartition(": strategy: ")[2].removesuffix(".")
    assert "\n" not in offered
    assert "\\u" not in offered
    assert yaml.safe_load(offered) == {"name": "uniform", "groups": [column]}
