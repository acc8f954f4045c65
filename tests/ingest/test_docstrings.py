"""The docstrings of the environment: read with `ast`, in a fixed order, every id once."""

import sysconfig
from pathlib import Path

import pytest

from evenkeel.tasks.ingest import docstrings
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.harvest import docstrings as docstrings_of
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from tests.ingest.pools import ingest, run_at, whole

SOURCE = b'''"""Module."""
import nowhere_to_be_found
raise SystemExit("executed")
if True:
    def twice(): "One."
else:
    def twice(): "Two."
class A:
    """Class
    of two lines."""
    async def method(self):
        """Method."""
        def inside(): "left out"
    class B:
        "Nested."
def bare(): pass
def blank(): "   "
'''


def test_modules_classes_and_functions_but_no_functions_inside_functions() -> None:
    assert docstrings_of(SOURCE, "p.m") == [
        ("p.m", "Module.", "module"),
        ("p.m.twice", "One.", "function"),
        ("p.m.twice#2", "Two.", "function"),
        ("p.m.A", "Class\nof two lines.", "class"),
        ("p.m.A.method", "Method.", "function"),
        ("p.m.A.B", "Nested.", "class"),
    ]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A standard library and a site-packages of a few files."""
    files = {
        "lib/abc.py": b'"""Abstract."""',
        "lib/site-packages/hidden.py": b'"""Not again."""',
        "lib/test/support.py": b'"""A test."""',
        "site/big/__init__.py": SOURCE,
        "site/big/core.py": b'def f(): "F \\ud800 lone"\n',
        "site/big/test_core.py": b'"""A test."""',
        "site/big/old.py": b"print 'python 2'",
        "site/big/null.py": b"\0",
        "site/abc.py": b'"""A namesake."""',
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    roots = {"stdlib": tmp_path / "lib", "platstdlib": tmp_path / "lib", "purelib": tmp_path / "site"}
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(roots.get(name, tmp_path / "none")))
    return tmp_path


@pytest.mark.slow
def test_the_environment_is_a_source_like_any_other(environment: Path, tmp_path: Path) -> None:
    pool = ingest(tmp_path, uri="docstrings://", groups=["package", "kind"])
    found = whole(pool)
    assert found["id"] == ["abc", "abc@2", *[one for one, _, _ in docstrings_of(SOURCE, "big")], "big.core.f"]
    assert found["package"] == ["abc", "abc", *["big"] * 7]
    assert found["path"][-1] == "big/core.py"
    assert found["text"][-1] == "F ? lone"
    assert found["group.kind"].count("class") == 2
    assert pool.shards[0].name == "docstrings-000.parquet"
    assert whole(ingest(tmp_path / "again", uri="docstrings://")) | found == found


@pytest.mark.slow
def test_a_harvest_is_kept_until_the_environment_changes(environment: Path, tmp_path: Path) -> None:
    request = ingest_request(SourceConfig(uri="docstrings://"))
    first = INGEST(request, NoInputs(), run_at(tmp_path))
    assert first.facts["harvest"] == {"files": 6, "unparsable": 2, "docstrings": 9, "shards": 1}
    harvests = tmp_path / "workspace" / "d" / "docstrings"
    assert len(list(harvests.iterdir())) == 1
    INGEST(ingest_request(SourceConfig(uri="docstrings://", rows_per_block=2)), NoInputs(), run_at(tmp_path))
    assert len(list(harvests.iterdir())) == 1
    (environment / "site" / "new.py").write_text('"""New."""')
    changed = ingest_request(SourceConfig(format="docstrings", uri="docstrings://"))
    assert changed.shards != request.shards
    assert INGEST(changed, NoInputs(), run_at(tmp_path)).counts["pool"] == first.counts["pool"] + 1


def test_this_environment_is_a_real_lopsided_pool() -> None:
    files = docstrings.environment_files()
    assert len({(file.root, file.path) for file in files}) == len(files) > 2000
    assert [file.module for file in files if file.path == "asyncio/__init__.py"] == ["asyncio"]
    assert not [file for file in files if "/tests/" in f"/{file.path}"]
