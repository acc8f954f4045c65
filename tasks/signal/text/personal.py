"""What in a text identifies or exposes a person: addresses, numbers with the right check digits, keys and tokens."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.tasks.signal.text.measure import text_buffers

# In RE2's syntax. Keys by the prefixes that their issuers document.
PATTERNS = {
    "email": r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b",
    "phone": r"\+[1-9](?:[ .()/-]{0,2}[0-9]){7,14}\b|\(\d{3}\) ?\d{3}[-. ]\d{4}\b|\b[2-9]\d{2}[-.]\d{3}[-.]\d{4}\b",
    "key": r"|".join(
        [
            r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",  # Amazon
            r"\bAIza[A-Za-z0-9_-]{35}",  # Google
            r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{22,}",
            r"\bglpat-[A-Za-z0-9_-]{20,}",
            r"\bxox[abprs]-[A-Za-z0-9-]{10,}",  # Slack
            r"\b[rs]k_live_[A-Za-z0-9]{16,}",  # Stripe
            r"\bsk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic
            r"\bhf_[A-Za-z]{34}\b|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-AgE[A-Za-z0-9_-]{20,}",
            r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",  # JSON web tokens
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
        ]
    ),
}


def count_personal(
    texts: pa.Array | pa.ChunkedArray,
    of: Sequence[str],
    keys: Literal["prefixes", "detect-secrets"] = "prefixes",
    backend: Backend = "cpu",
) -> Float64Array:
    """Return how many items of some kinds each text has, (n,) float64; NaN where the text is null.

    of: among `email`, `phone`, `key`, `iban` and `card`. keys: whose rules find keys. Either backend gives the same.
    """
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    return np.concatenate([np.empty(0), *(_count(chunk, of, keys, backend) for chunk in chunks)])


def _count(texts: pa.Array, of: Sequence[str], keys: str, backend: Backend) -> Float64Array:
    from evenkeel.tasks.signal.text.checksums import count_cards, count_ibans

    texts = texts.cast(pa.large_string())
    data, offsets, valid = text_buffers(texts)
    counts: Int64Array = np.zeros(len(texts), np.int64)
    rows = np.arange(len(texts))
    if backend == "gpu" and {"iban", "card"} & set(of):
        from evenkeel.tasks.signal.text.device.checksums import count_numbers_on_device

        rows = count_numbers_on_device(data, offsets, "card" in of, "iban" in of, counts)
    for kind in of:
        if kind == "key" and keys == "detect-secrets":
            from evenkeel.tasks.signal.text.secrets import count_secrets

            counts += count_secrets(texts)
        elif kind in PATTERNS:
            counts += pc.fill_null(pc.count_substring_regex(texts, PATTERNS[kind]), 0).to_numpy(zero_copy_only=False)
        else:
            (count_ibans if kind == "iban" else count_cards)(data, offsets, rows, counts)
    return np.where(valid, counts, np.nan)
