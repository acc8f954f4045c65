"""Dependencies, unique sets and near-misses: those of Desbordante and of a brute force, the same over any blocks."""

from itertools import combinations
from pathlib import Path

import desbordante
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris, load_wine

import evenkeel.tasks.properties.grouping as grouping_module
from evenkeel.infra.compute import Compute
from evenkeel.infra.tables import write_table
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.properties.config import ProfileConfig
from evenkeel.tasks.properties.dependencies import count_values, scan_dependency, scan_near_misses, scan_uniques
from evenkeel.tasks.properties.lattice import codes_of, discover, g3
from evenkeel.tasks.properties.near_values import is_one_edit, near_misses
from evenkeel.tasks.properties.profiling import profile_columns
from evenkeel.tasks.report.columns import column_facts
from tests.properties.versions import places, write_version


def frames() -> dict[str, pd.DataFrame]:
    """Return iris and wine with the class as a text, and iris with coarser numbers, in which much depends."""
    iris, wine = (pd.DataFrame(load(as_frame=True).frame) for load in (load_iris, load_wine))
    coarse = iris.round(0).assign(name=iris["target"].map({0: "setosa", 1: "versicolor", 2: "virginica"}))
    return {"iris": iris, "wine": wine, "coarse iris": coarse}


@pytest.mark.parametrize("name", ["iris", "wine", "coarse iris"])
@pytest.mark.parametrize("most", [1, 2, 3])
def test_exact_dependencies_and_unique_sets_are_those_of_desbordante(name: str, most: int) -> None:
    frame = frames()[name]
    if name == "wine" and most == 3:
        frame = frame.iloc[:, :8]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    found = discover([codes_of(table[column]) for column in table.column_names], most, 0.0)

    miner = desbordante.fd.algorithms.HyFD()
    miner.load_data(table=frame)
    miner.execute(max_lhs=most)
    theirs = {(tuple(one.lhs_indices), one.rhs_index) for one in miner.get_fds()}
    keys = desbordante.ucc.algorithms.Default()
    keys.load_data(table=frame)
    keys.execute()
    uniques = {tuple(one.indices) for one in keys.get_uccs()}
    assert set(found.uniques) == {one for one in uniques if len(one) <= most}
    plain = {(left, right) for left, right in theirs if not any(set(one) <= set(left) for one in uniques)}
    assert {(one.left, one.right) for one in found.dependencies} == plain
    assert len(plain) > 0 or name != "coarse iris"


@pytest.mark.long
@pytest.mark.parametrize("name", ["iris", "wine", "coarse iris"])
@pytest.mark.parametrize("most_error", [0.03, 0.05, 0.1])
def test_approximate_dependencies_are_those_of_desbordante(name: str, most_error: float) -> None:
    """Its error per tuple is g3. What it lists besides ours has a left side that tells nearly all rows apart."""
    frame = frames()[name]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    codes = [codes_of(table[column]) for column in table.column_names]
    miner = desbordante.afd.algorithms.PFDTane()
    miner.load_data(table=frame)
    miner.execute(error=most_error, max_lhs=2, pfd_error_measure="per_tuple")
    theirs = {(tuple(one.lhs_indices), one.rhs_index) for one in miner.get_fds()}
    ours = {(one.left, one.right) for one in discover(codes, 2, most_error).dependencies}
    assert ours <= theirs
    for left in {left for left, _ in theirs - ours}:
        parts = [part for size in (1, 2) for part in combinations(left, size)]
        assert any(
            frame.iloc[:, list(part)].drop_duplicates().shape[0] >= (1 - most_error) * len(frame) for part in parts
        )
    assert ours or name == "wine"


def test_approximate_dependencies_are_those_of_a_brute_force() -> None:
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, size, 400) for size in (3, 5, 7, 2)]
    codes.append((codes[0] * 2 + codes[3]) % 5)
    codes[4][:6] = 4 - codes[4][:6]
    found = {(one.left, one.right) for one in discover(codes, 2, 0.03).dependencies}
    held = {
        (left, right)
        for size in (1, 2)
        for left in combinations(range(5), size)
        for right in set(range(5)) - set(left)
        if g3(np.unique(np.stack([codes[at] for at in left]), axis=1, return_inverse=True)[1], codes[right]) <= 0.03
    }
    assert found == held == {((0, 3), 4)} | {one for one in held if one[1] != 4}


@pytest.mark.long
def test_dependencies_over_blocks_name_the_values_at_odds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    zips = rng.integers(0, 200, 3000)
    city = [f"city-{code % 40}" for code in zips]
    city[17] = "elsewhere"
    table = pa.table({"zip": zips, "city": city, "id": [f"n{number}" for number in range(2999)] + ["n5"]})
    rows = write_version(tmp_path, table, block_rows=250)
    for at_once in (1 << 20, 64):
        monkeypatch.setattr(grouping_module, "GROUPS_AT_ONCE", at_once)
        found = scan_dependency(("zip",), "city", rows, 3000, str(tmp_path / "scan"), Compute())
        assert (found.checked, found.broken) == (3000, 1)
        (odd,) = found.examples
        assert (odd.name, places([odd.row or 0])) == (str(zips[17]), [17])
        assert "elsewhere (1)" in odd.why
        repeated = scan_uniques(("id",), rows, 3000, str(tmp_path / "scan"), Compute())
        assert (repeated.broken, [one.name for one in repeated.examples]) == (1, ["n5"])
        assert scan_uniques(("id", "zip"), rows, 3000, str(tmp_path / "scan"), Compute()).broken == int(
            zips[5] == zips[2999]
        )


def test_near_misses_are_those_of_a_comparison_of_all_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    words = {"".join(rng.choice(list("abcd"), rng.integers(3, 7))): int(rng.integers(1, 200)) for _ in range(300)}
    found = {(one.value, one.near) for one in near_misses(words, 5)}
    pairs = [
        (value, other)
        for value in words
        for other in words
        if len(value) >= 4 <= len(other) and is_one_edit(value, other) and words[other] >= 5 * words[value]
    ]
    assert {value for value, _ in found} == {value for value, _ in pairs}
    assert found <= set(pairs)
    assert len(found) > 10
    assert [is_one_edit("river", one) for one in ("rivet", "rive", "rivers", "river", "rvier", "riv")] == [True] * 3 + [
        False
    ] * 3
    assert (
        near_misses({"part-1": 1, "part-2": 500, "Berlin": 500, "Berlim": 2, "de": 500, "dd": 1}, 20)[0].value
        == "Berlim"
    )
    rows = write_version(tmp_path, pa.table({"city": ["Berlin"] * 40 + [None, "Berln"]}), block_rows=9)
    answer = scan_near_misses("city", 20, count_values("city", rows, 42, str(tmp_path / "scan"), Compute()))
    assert (answer.checked, answer.broken, places([answer.examples[0].row or 0])) == (41, 1, [41])
    assert answer.examples[0].why == "1 row; Berlin has 40"


@pytest.mark.parametrize("sample_rows", [100, 65_536])
def test_the_profile_has_errors_of_all_rows_and_the_card_says_them(tmp_path: Path, sample_rows: int) -> None:
    """A row at odds that the sample does not hold is counted; a near-miss is masked where it is an address."""
    rng = np.random.default_rng(3)
    zips = rng.integers(0, 20, 2000)
    city = [f"city {'abcdefghij'[code % 10] * 3}" for code in zips]
    city[1500] = "city aaa!"
    mail = ["jane.doe@example.org"] * 1999 + ["jane.doe@example.or"]
    columns = {"zip": zips, "city": city, "mail": mail, "key": [f"k{number}" for number in range(2000)]}
    rows = write_version(tmp_path, pa.table(columns), block_rows=300)
    config = ProfileConfig(sample_rows=sample_rows)
    found = dict(profile_columns(config, rows, 2000, str(tmp_path / "scan"), Compute()))
    rules = {(*one["left"], one["right"]): one["error"] for one in found["dependencies"].to_pylist()}
    assert rules == {("zip", "city"): 1 / 2000, ("mail",): 1 / 2000}
    assert found["uniques"].to_pylist() == [{"columns": ["key"], "repeated": 0}]
    misses = {one["value"]: one["near"] for one in found["near_misses"].to_pylist()}
    assert misses == {"city aaa!": "city aaa", "jane.doe@example.or": "jane.doe@example.org"}
    for name, table in found.items():
        write_table(str(tmp_path / "profile" / f"{name}.parquet"), table)
    shown = column_facts(Profile.open(str(tmp_path / "profile")))
    assert shown is not None
    assert shown.title == "2 dependencies, 1 key and 2 likely typing errors among the columns"
    assert ("zip → city", "all but 0.05\u00a0% of the rows") in shown.lists[0][1]
    assert "jane" not in str(shown.lists)
