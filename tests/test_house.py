"""The house keeps its own rules, beside those of pyproject.toml: names say what a thing is, heavy imports are lazy."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import grimp
import pytest
from scipy import sparse

ROOT = Path(__file__).parent.parent
ROOMS = ("flows", "tasks", "expectations", "infra")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
HEAVY = {"great_expectations", "altair", "cudf", "cuml", "cupy", "torch", "sklearn", "dask", "distributed", "pyiceberg"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our folders as one package, for tools that read code without importing it."""
    package = tmp_path_factory.mktemp("house") / "evenkeel"
    package.mkdir()
    for module in (ROOT / "evenkeel").glob("*.py"):
        (package / module.name).symlink_to(module)
    for room in ROOMS:
        (package / room).symlink_to(ROOT / room)
    return package


@pytest.fixture(scope="module")
def graph(package: Path) -> grimp.ImportGraph:
    """Every import between our modules, those inside functions too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(package.parent)
        patch.delitem(sys.modules, "evenkeel", raising=False)
        return grimp.build_graph("evenkeel", cache_dir=None)


def test_imports_keep_the_contracts_of_pyproject(package: Path) -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache", f"{ROOT}/pyproject.toml"]
    done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_module_imports_itself_by_way_of_others(graph: grimp.ImportGraph) -> None:
    """`make lint` sees circles of neighbours; this sees those of a package and its own modules too."""
    names = sorted(graph.modules)
    place = {name: index for index, name in enumerate(names)}
    arrows = [(place[a], place[b]) for a in names for b in graph.find_modules_directly_imported_by(a)]
    rows, columns = zip(*arrows, strict=True)
    imports = sparse.coo_array(([True] * len(arrows), (rows, columns)), shape=(len(names), len(names)))
    _, circle = sparse.csgraph.connected_components(imports, connection="strong")
    together = [[name for name, mark in zip(names, circle, strict=True) if mark == one] for one in set(circle)]
    assert [circle for circle in together if len(circle) > 1] == []
    assert len(names) > len(MODULES)


def test_no_module_is_a_drawer_of_odds_and_ends() -> None:
    assert not {path.stem for path in MODULES} & {"utils", "util", "helpers", "common", "misc"}


def test_no_array_may_hide_a_pickle() -> None:
    assert not [path for path in MODULES if "allow_pickle=True" in path.read_text()]


FILES = re.compile(
    r"\b(pq\.(read_\w+|ParquetFile|ParquetDataset|ParquetWriter|write_\w+)|np\.(load|save|savez)\b|np\.lib\.format"
    r"|open_memmap|ds\.dataset|pyarrow\.(dataset|feather)|to_parquet|tofile|pd\.read_parquet\((?!\"))"
)
DOORS = ("infra/tables.py", "infra/arrays.py", "tasks/ingest/readers/")  # the last: files of others


def test_parquet_and_arrays_go_through_one_door() -> None:
    """Files of ours are read and written with checksums by `infra.tables` and `infra.arrays` alone."""
    code = {path.relative_to(ROOT).as_posix(): path.read_text() for path in MODULES}
    others = {place: found.group() for place, text in code.items() if (found := FILES.search(text))}
    assert {place: name for place, name in others.items() if not place.startswith(DOORS)} == {}


@pytest.mark.parametrize("module", ["evenkeel.flows.cli.main", "evenkeel.flows.cli.run", "evenkeel.flows.recipe"])
def test_light_modules_import_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(loaded.stdout.split()) & (HEAVY | {"prefect"})


def test_a_recipe_loads_without_compiled_or_heavy_code() -> None:
    """Commands that only list versions read the recipe too: of a strategy or embedder they need the options alone."""
    code = """
        import sys
        from evenkeel.flows.recipe import load
        load("docstrings", ["embedding.method=tfidf-svd"])
        print(*sorted({name.split(".")[0] for name in sys.modules}))
    """
    loaded = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not set(loaded.stdout.split()) & (HEAVY | {"prefect", "numba", "scipy", "pandas"})
