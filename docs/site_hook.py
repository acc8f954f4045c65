"""A hook of the documentation site: files of the repository that pages link to are part of the site as they are."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
SHOWN = ("prefect.yaml",)


def on_files(files: Files, config: Any) -> Files:
    """Add the files beside docs/ that pages link to."""
    for name in SHOWN:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links out of docs/ at the copies on the site."""
    for name in SHOWN:
        markdown = markdown.replace(f"](../{name})", f"]({name})")
    return markdown
