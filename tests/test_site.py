"""The documentation site is built without a warning, and every link in it leads somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent
LINK = re.compile(r'<(\w+)[^>]*?\s(?:href|src)="?([^"\s>]+)')
ANCHOR = re.compile(r'\s(?:id|name)="?([^"\s>]+)')

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site; a page outside the navigation, a lost link or a lost heading fails here already."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_link_leads_somewhere(site: Path) -> None:
    pages = {path: path.read_text() for path in site.rglob("*.html") if path.name != "404.html"}
    anchors = {path: set(ANCHOR.findall(text)) for path, text in pages.items()}
    assert len(pages) > 40
    broken = []
    for path, text in pages.items():
        for _, target in set(LINK.findall(text)):
            address = urlsplit(target)
            if address.scheme or target.startswith("//"):
                continue
            to = (path.parent / unquote(address.path)).resolve() if address.path else path
            to = to / "index.html" if to.is_dir() else to
            lost = address.fragment and to in anchors and unquote(address.fragment) not in anchors[to]
            if not to.is_file() or (lost and not address.fragment.startswith("__")):
                broken.append(f"{path.relative_to(site)}: {target}")
    assert broken == []


def test_a_page_asks_no_other_host(site: Path) -> None:
    for path in site.rglob("*.html"):
        loaded = [target for tag, target in LINK.findall(path.read_text()) if tag in ("script", "img", "iframe")]
        loaded += re.findall(r'<link[^>]+rel="?stylesheet"?[^>]*href="?([^"\s>]+)', path.read_text())
        assert [target for target in loaded if "//" in target] == []
    assert "url(http" not in "".join(path.read_text() for path in site.rglob("*.css"))
