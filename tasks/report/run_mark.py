"""The place on the card where a published one names the run and the commit that it was drawn by.

The step does not know them: the same rows have the same card in every run.
"""

from markupsafe import Markup

Link = tuple[str, str]
"""Name and address; the address may be empty."""
RUN_MARK = "<!-- run -->"


def with_run(page: bytes, run: Link | None, commit: Link | None) -> bytes:
    """Return a card that names its run and the commit of the code, each as (name, address); an address may be ""."""
    parts = [
        Markup("<span>{} {}</span>").format(
            what,
            Markup('<a href="{}" rel="noreferrer">{}</a>').format(address, name)
            if address.startswith(("https://", "http://"))
            else name,
        )
        for what, (name, address) in (("run", run or ("", "")), ("code", commit or ("", "")))
        if name
    ]
    return page.replace(RUN_MARK.encode(), "".join(parts).encode(), 1)
