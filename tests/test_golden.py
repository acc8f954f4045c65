"""A step whose output changes must change its version: else a run would find the old output and take it for the new."""

from pathlib import Path

import pytest

from tests import golden
from tests.golden import Golden

AGAIN = "then `python -m tests.golden` and commit golden.json with it"


def complaints(recorded: dict[str, Golden], found: dict[str, Golden]) -> list[str]:
    """Return what is wrong, an entry a line: a changed output under an old version, or a table that is behind."""
    wrong, changed = [], set[str]()
    for entry, now in found.items():
        was = recorded.get(entry)
        same = was is not None and was.digest == now.digest and now.floats == pytest.approx(was.floats, rel=1e-4)
        if same and was is not None and was.version == now.version:
            continue
        changed.add(entry)
        if was is not None and was.version == now.version and not changed & set(now.upstream):
            wrong.append(
                f"{entry}: what comes out has changed, and its version is still {now.version}. Where that was no "
                f"intent, find out why; else raise `version` of the step, {AGAIN}"
            )
        else:
            wrong.append(f"{entry}: golden.json is behind: look at what changed, {AGAIN}")
    return wrong + [f"{entry}: no longer made, {AGAIN}" for entry in recorded.keys() - found.keys()]


def test_no_step_changes_what_comes_out_under_an_old_version(tmp_path: Path) -> None:
    found = golden.run_all(tmp_path)
    wrong = complaints(golden.read_recorded(), found)
    assert not wrong, "\n" + "\n".join(wrong)


def test_a_change_is_told_with_what_to_do() -> None:
    was = {"a": Golden(1, "x", 1.0), "b": Golden(3, "y", 2.0, ("a",))}
    assert complaints(was, was) == []
    assert complaints(was, {**was, "a": Golden(1, "x", 1.00001)}) == []
    [line] = complaints(was, {**was, "b": Golden(3, "z", 2.0, ("a",))})
    assert line.startswith("b: what comes out has changed, and its version is still 3")
    [line] = complaints(was, {**was, "b": Golden(4, "z", 2.0, ("a",))})
    assert line.startswith("b: golden.json is behind")
    first, second = complaints(was, {"a": Golden(2, "w", 1.0), "b": Golden(3, "z", 2.1, ("a",))})
    assert (first.split(":")[0], second.split(":")[0]) == ("a", "b")
    assert "behind" in second, "what lies downstream of a change needs no version of its own"
