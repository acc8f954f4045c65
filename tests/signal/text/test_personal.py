"""Personal data in texts: what is planted is found, what only looks like it is not."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenkeel.tasks.signal.kinds.personal_data import PersonalData
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.text.personal import count_personal

# Numbers that issuers and standards print as examples; keys are put together here, so that they are none in this file.
PLANTED = [
    ("email", "write to jane.doe+lists@mail.example.co.uk, please"),
    ("email", "<a@b.io>"),
    ("phone", "call +49 30 1234567 today"),
    ("phone", "+1 (555) 010-9999"),
    ("phone", "office: (555) 010-9999."),
    ("phone", "555-010-9999"),
    ("iban", "to GB82 WEST 1234 5698 7654 32 by Monday"),
    ("iban", "DE89370400440532013000"),
    ("iban", "(FR14 2004 1010 0505 0001 3M02 606)"),
    ("card", "4111 1111 1111 1111"),
    ("card", "paid with 5555-5555-5555-4444, thanks"),
    ("card", "378282246310005 and no more"),
    ("card", "3782 822463 10005"),
    ("card", "4111111111111111"),
    ("key", "AKIA" + "IOSFODNN7" + "EXAMPLE"),
    ("key", "token ghp" + "_" + "a1B2" * 9),
    ("key", "xoxb" + "-1234567890-abcdef"),
    ("key", "sk" + "_live_" + "0123456789abcdef"),
    ("key", "-----BEGIN RSA " + "PRIVATE KEY-----"),
    ("key", "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N"),
]
CLEAN = [
    "user@localhost, @handle and a@b.c are no addresses",
    "in 2024-05-01 12:30 we had 1,234,567.89 of 12345678",
    "GB82 WEST 1234 5698 7654 33 fails its check, and XX89370400440532013000 has no country",
    "4111 1111 1111 1112 fails its check, x4111111111111111 and 41111111111111112 are other numbers",
    "4111 111111 1111 11 is oddly written; 1111111111111117 begins like no card",
    "sk-short, AKIA is a prefix, ghp_too_short, BEGIN PUBLIC KEY",
    "ISBN 978-3-16-148410-0, version 1.2.3.4, 127.0.0.1, 3.4111111111111111, 23586333600241",
    "",
]
KINDS = ["email", "phone", "iban", "card", "key"]


@pytest.mark.parametrize(("kind", "text"), PLANTED)
def test_what_is_planted_is_found_once_and_as_what_it_is(kind: str, text: str) -> None:
    texts = pa.array([text, f"Ünïcödé 漢字 {text} — and {text}"])
    assert {one: count_personal(texts, [one]).tolist() for one in KINDS} == {
        one: [1, 2] if one == kind else [0, 0] for one in KINDS
    }


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_looks_like_it_is_not_found(text: str) -> None:
    assert {one: count_personal(pa.array([text]), [one])[0] for one in KINDS} == dict.fromkeys(KINDS, 0)


@given(st.integers(0, 10**14), st.sampled_from(["4", "51", "6011"]), st.sampled_from([0, 4]))
@settings(max_examples=60, deadline=None)
def test_one_check_digit_of_ten_is_right(number: int, prefix: str, group: int) -> None:
    body = (prefix + f"{number:014d}")[:15]
    total = sum(int(c) if i % 2 else sum(map(int, str(2 * int(c)))) for i, c in enumerate(body))
    texts = [body + str(digit) for digit in range(10)]
    written = [" ".join(re.findall("....", text)) if group else text for text in texts]
    assert count_personal(pa.array(written), ["card"]).tolist() == [float(d == -total % 10) for d in range(10)]


def test_kinds_add_up_and_a_null_has_no_value() -> None:
    class Texts:
        def text(self, block: str) -> pa.ChunkedArray:
            return pa.chunked_array([["a@b.io 4111111111111111", None], ["none"]])

    signal = PersonalData(name="pii")
    np.testing.assert_array_equal(signal.compute(Texts(), "block", Fit("", "")), [2, np.nan, 0])  # type: ignore[arg-type]
    mail = PersonalData(name="pii", of=["email"])
    np.testing.assert_array_equal(mail.compute(Texts(), "block", Fit("", "")), [1, np.nan, 0])  # type: ignore[arg-type]
