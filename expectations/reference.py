"""The reference in docs/EXPECTATIONS.md, written from the models: `python -m evenkeel.expectations.reference`."""

from itertools import groupby
from pathlib import Path

from evenkeel.expectations.expectation import EXPECTATIONS, Expectation
from evenkeel.expectations.suites import suite

PAGE = Path(__file__).parent.parent / "docs" / "EXPECTATIONS.md"
START, END = "<!-- reference -->\n", "<!-- /reference -->"


def reference() -> str:
    """Return one entry per expectation, by concern: what it means, its parameters, and the suites it is in."""
    lines = []
    ours = sorted(EXPECTATIONS.ours().values(), key=lambda model: model.concern)
    for concern, models in groupby(ours, lambda model: model.concern):
        lines += [f"### {concern.capitalize()}", ""]
        for model in models:
            lines += entry(model)
    return "\n".join(lines)


def entry(model: type[Expectation]) -> list[str]:
    """Return the entry of one expectation."""
    name = str(model.model_fields["expect"].default)
    words = " ".join((model.__doc__ or "").split())
    lines = [f"**`{name}`** {words}", ""]
    for field, about in model.model_fields.items():
        if field not in ("expect", "severity"):
            default = "needed" if about.is_required() else f"default `{about.default}`"
            lines.append(f"- `{field}` ({default}): {about.description}")
    used = [_use(name, one) for name, one in _uses(name)]
    return [*lines, f"- in the suites: {'; '.join(used) if used else 'none; add it in the recipe'}", ""]


def with_reference(page: str) -> str:
    """Return the page with its reference replaced by the present one."""
    head, _, rest = page.partition(START)
    return head + START + reference() + END + rest.partition(END)[2]


def _uses(name: str) -> list[tuple[str, Expectation]]:
    default, strict = suite("default"), suite("strict")
    found = [("default", one) for one in default if one.expect == name]
    return found + [("strict", one) for one in strict if one.expect == name and one not in default]


def _use(where: str, one: Expectation) -> str:
    changed = {
        field: value
        for field, value in one.model_dump(exclude={"expect", "severity"}).items()
        if value != type(one).model_fields[field].default
    }
    changes = ", ".join(f"{field} {value}" for field, value in changed.items())
    return f"{where} ({one.severity}{', ' + changes if changes else ''})"


if __name__ == "__main__":
    PAGE.write_text(with_reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
