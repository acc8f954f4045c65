"""Read a recipe's YAML: true and false alone are truths, as in YAML 1.2, and no key is written twice.

YAML 1.1, which the parser speaks, takes `on`, `off`, `yes` and `no` for truths too, so that the option `on: id` and the
language `no` would be lost. Options that are true or false still take these words.
"""

import re
from typing import Any

import yaml

BOOL = "tag:yaml.org,2002:bool"


class _RecipeLoader(yaml.SafeLoader):
    """A safe loader that refuses a key written twice instead of keeping the last one."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in known if tag != BOOL]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"{key!r} is written twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_RecipeLoader.add_implicit_resolver(BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def load_text(text: str) -> object:
    """Return the document of a YAML text. Raises yaml.YAMLError for what is not YAML."""
    return yaml.load(text, Loader=_RecipeLoader)
