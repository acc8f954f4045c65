"""Keys and tokens in texts by the rules of detect-secrets (Yelp, Apache-2.0), as patterns that Arrow runs on columns.

The library reads a line at a time in Python; its patterns are read from its plugins and counted here over whole
columns. RE2 has no look-around: where a rule looks back for a character that is none of a word, or ahead for one, that
character is part of the match instead. Its rules without a pattern are left out: entropy, keywords, public addresses.
"""

import re
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import Int64Array

PACKAGE = "detect-secrets"
NO_SECRET = frozenset({"IPPublicDetector"})
BEHIND = r"(?:(?<=\W)|(?<=^))"
AHEAD = re.compile(r"\(\?!(?:\\w|\[([^\]]+)\])\)")  # (?!\w) or (?![a-f0-9])
MOST_REPEATS = 1_000  # of RE2


def count_secrets(texts: pa.Array) -> Int64Array:
    """Return how many keys and tokens each text holds, (n,) int64, 0 for null."""
    counts: Int64Array = np.zeros(len(texts), np.int64)
    for pattern in patterns():
        found = pc.count_substring_regex(texts, pattern)
        counts += pc.fill_null(found, 0).to_numpy(zero_copy_only=False)
    return counts


@lru_cache(maxsize=1)
def patterns() -> tuple[str, ...]:
    """Return the patterns of the library in RE2's syntax: those of one case together, those of any case together."""
    both: dict[bool, list[str]] = {False: [], True: []}
    for name, rule in rules():
        pattern = AHEAD.sub(_end, rule.pattern.replace(BEHIND, r"(?:^|\W)"))
        pattern = re.sub(r",(\d{4,})\}", f",{MOST_REPEATS}}}", pattern)
        if "(?<" in pattern or "(?!" in pattern or "(?=" in pattern:
            raise ValueError(f"{PACKAGE}: the rule {name} looks around in a way that is not known: {rule.pattern}")
        both[bool(rule.flags & re.IGNORECASE)].append(f"(?:{pattern})")
    return tuple(("(?mi)" if any_case else "(?m)") + "|".join(found) for any_case, found in both.items() if found)


def _end(look: re.Match[str]) -> str:
    return r"(?:\W|$)" if look[1] is None else f"(?:[^{look[1]}]|$)"


def rules() -> list[tuple[str, re.Pattern[str]]]:
    """Return the patterns of the library's detectors, by the names of the detectors."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    kinds = get_mapping_from_secret_type_to_class().values()
    mine = [one for one in kinds if issubclass(one, RegexBasedDetector) and one.__name__ not in NO_SECRET]
    found = []
    for kind in sorted(mine, key=lambda one: str(one.__name__)):
        denied = getattr(kind(), "denylist", None)
        found += [(str(kind.__name__), rule) for rule in denied or ()]
    return found
