"""Secrets stay out of recipes and out of what is published."""

from urllib.parse import urlsplit

PLACES = ("uri", "catalog")


def carries_password(text: str) -> bool:
    """Return whether `text` is a URI with a password in it."""
    try:
        return "://" in text and bool(urlsplit(text).password)
    except ValueError:  # no URI after all
        return False


def refuse_password(uri: str) -> str:
    """Return `uri`, or raise ValueError, without repeating it, where it carries a password."""
    if carries_password(uri):
        raise ValueError("a password has no place in a recipe: take it from the environment (see docs/SECURITY.md)")
    return uri


def without_secrets(uri: str) -> str:
    """Return `uri` without user, password and query, which may sign a request."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def redacted(document: object) -> object:
    """Return a recipe's plain document with the secrets removed from every `uri` and `catalog` in it."""
    if isinstance(document, dict):
        return {name: _redacted_place(value) if name in PLACES else redacted(value) for name, value in document.items()}
    return [redacted(value) for value in document] if isinstance(document, list) else document


def _redacted_place(value: object) -> object:
    if isinstance(value, list):
        return [_redacted_place(one) for one in value]
    return without_secrets(value) if isinstance(value, str) else redacted(value)
