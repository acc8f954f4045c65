"""Data Docs that need no network: the library's pages with every outside style, script and picture taken out.

The pages that Great Expectations writes load some sixteen files from other hosts and are blank where those cannot be
reached. Here each validation becomes one flat page with one stylesheet in it, and an index that needs no script.
"""

import html
import re
from collections.abc import Mapping
from pathlib import Path

REMOVED = re.compile(
    r"<script\b.*?</script>|<style\b.*?</style>|<footer\b.*?</footer>|<nav\b.*?</nav>(?=\s*(?:</div>|<div))"
    r"|<link\b[^>]*>|<img\b(?! src=.data:image/)[^>]*>|<title>.*?</title>|<meta\b[^>]*>",
    re.S | re.I,
)
BODY = re.compile(r"<body\b[^>]*>(.*)</body>", re.S | re.I)
SIDEBAR = re.compile(r'<div class="col-lg-2 col-md-2.*?(?=<div class="col-md-10)', re.S)
MODAL = re.compile(r'<div class="modal\b.*', re.S)
LINK = re.compile(r"<a\b[^>]*>(.*?)</a>", re.S | re.I)
NAMELESS = re.compile(r"<br>\s*Data asset: None\s*(?=<br>)")
HANDLER = re.compile(r"\son\w+=(\"[^\"]*\"|'[^']*')", re.I)
SUBJECTS = {
    "shares": "clusters and groups",
    "baselines": "beside the baselines",
    "totals": "the rows in all",
    "shards": "shards",
    "patterns": "texts",
}
VERDICTS = {"failed": "✕ failed", "warned": "! warned", "passed": "✓ passed", "skipped": "– not checked"}
ICONS = {"fa-check-circle": "✓", "fa-times": "✕", "fa-exclamation-triangle": "!"}
STYLE = """
:root{--page:#fbfaf8;--ink:#1d2126;--soft:#5d666e;--line:#e2dfd9;--good:#22703f;--bad:#a8322a;
--warn:#8a6100;color-scheme:light dark}
@media (prefers-color-scheme:dark){
:root{--page:#131618;--ink:#e9e7e3;--soft:#a0a8ae;--line:#2d3338;--good:#6fc492;--bad:#f08d82;--warn:#dcb35c}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:60rem;background:var(--page);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1.5rem}
h2,h4,h5,h6{font-size:1rem;margin:1.75rem 0 .5rem}
a{color:inherit}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th,td{padding:.5rem .75rem .5rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td{overflow-wrap:anywhere}
th{color:var(--soft);font-weight:500}
thead[hidden],.collapse,[id$=content-block-3-parent]{display:none}
.table-responsive{overflow-x:auto}
.text-success,.passed{color:var(--good)}.text-danger,.failed{color:var(--bad)}
.warned{color:var(--warn)}.skipped{color:var(--soft)}
table:not(td table) td:first-child{white-space:nowrap}
.mark{font-style:normal;font-weight:600}
td table{font-size:.875rem;margin:.5rem 0}
q{display:flow-root;margin-top:.25rem;color:var(--soft);quotes:none}
q img{float:left;max-height:3.5rem;margin:0 .75rem .25rem 0;border-radius:3px}
"""


def make_self_contained(built: Path, site: Path, verdicts: Mapping[str, str]) -> None:
    """Write `index.html` and one page per validation into `site`, from the site that Great Expectations built.

    verdicts: failed, warned, passed or skipped by the name of each validation, `<concern>-<table>`; failures go first.
    """
    site.mkdir(parents=True, exist_ok=True)
    pages = {path.stem.removeprefix("profile-"): path for path in sorted(built.glob("validations/**/*.html"))}
    for name in verdicts:
        body = _clean(pages[name].read_text(encoding="utf-8"))
        back = '<p><a href="index.html">All checks</a></p>'
        (site / f"{name}.html").write_text(_page(_title(name), back + body), encoding="utf-8")
    rows = "".join(
        f'<tr><td class="{verdicts[name]}">{VERDICTS[verdicts[name]]}</td>'
        f'<td><a href="{html.escape(name)}.html">{html.escape(_title(name))}</a></td></tr>'
        for name in sorted(verdicts, key=lambda name: list(VERDICTS).index(verdicts[name]))
    )
    table = f"<table><thead><tr><th>Verdict</th><th>What was checked</th></tr></thead><tbody>{rows}</tbody></table>"
    (site / "index.html").write_text(_page("Data Docs: what was checked", table), encoding="utf-8")


def _clean(page: str) -> str:
    found = BODY.search(page)
    body = SIDEBAR.sub("", MODAL.sub("", REMOVED.sub("", found.group(1) if found else page)))
    body = NAMELESS.sub("", HANDLER.sub("", LINK.sub(r"\1", body)))
    return re.sub(r'<i class="([^"]*)"[^>]*>\s*</i>', lambda icon: _icon(icon.group(1)), body)


def _icon(classes: str) -> str:
    sign = next((sign for name, sign in ICONS.items() if name in classes), "")
    tone = "passed" if "success" in classes else "failed" if "danger" in classes else ""
    return f'<i class="mark {tone}" aria-hidden="true">{sign}</i>' if sign else ""


def _title(name: str) -> str:
    """Return what the page of `<concern>-<table>` is called."""
    concern, _, table = name.partition("-")
    return f"{concern.capitalize()}: {SUBJECTS.get(table, table)}"


def _page(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>{body}</body></html>\n"
    )
