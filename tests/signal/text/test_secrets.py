"""Keys and tokens by the rules of detect-secrets: the same texts are found as by the library itself."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import RegexBasedDetector

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.flows.recipe import parse
from evenkeel.tasks.filter.config import FilterConfig
from evenkeel.tasks.filter.inputs import FilterInputs
from evenkeel.tasks.filter.step import FILTER
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.kinds.personal_data import PersonalData
from evenkeel.tasks.signal.order import in_order
from evenkeel.tasks.signal.text.personal import count_personal
from evenkeel.tasks.signal.text.secrets import NO_SECRET, count_secrets
from evenkeel.tasks.step import InProcess
from tests.sample.pools import make_run, write_pool

ROOT = Path(__file__).parents[3]
HEX, WORD = "0a1b2c3d" * 12, "aB3dE5gH7jK9" * 9
# Put together here, so that they are no keys in this file.
KEYS = [
    "AKIA" + WORD[:16].upper(),
    "aws_secret_key = '" + WORD[:40] + "'",
    "AccountKey=" + WORD[:88],
    "https://user:" + "pass" + "word@example.org/x",
    "cloudant_password='" + HEX[:64] + "'",
    "M" + WORD[:23] + "." + WORD[:6] + "." + WORD[:27],
    "ghp" + "_" + WORD[:36],
    "glpat" + "-" + WORD[:20],
    "glagent" + "-" + WORD[:60],
    "ibm_cloud_iam_api_key: " + WORD[:44],
    "cos_hmac_secret_access_key = " + HEX[:48],
    HEX[:32] + "-us12",
    "//registry.example.org/:_authToken=npm_" + WORD[:10],
    "-----BEGIN EC " + "PRIVATE KEY-----",
    "SG" + "." + WORD[:22] + "." + WORD[:43],
    "XOXB" + "-123-456-" + HEX[:12],
    "sq0csp" + "-" + WORD[:43],
    "sk_live_" + WORD[:24],
    "123456789:" + WORD[:35],
    "AC" + HEX[:32],
]
CLEAN = ["glimt-" + WORD[:24], "sk_live_short", "see https://example.org/a:b", "a key, a token, a password", ""]


def by_the_library(text: str) -> bool:
    kinds = get_mapping_from_secret_type_to_class().values()
    mine = [one() for one in kinds if issubclass(one, RegexBasedDetector) and one.__name__ not in NO_SECRET]
    return any(set(one.analyze_string(line)) for line in text.split("\n") for one in mine)


def test_texts_with_keys_are_those_that_the_library_finds() -> None:
    around = [f"first line\n  {one}\nlast" for one in KEYS] + [f"x = ({one})" for one in KEYS]
    sources = [path.read_text()[:3000] for path in sorted((ROOT / "infra").glob("*.py"))[:12]]
    texts = [*KEYS, *around, *CLEAN, *sources]
    found = count_secrets(pa.array(texts))
    assert (found[: len(KEYS)] > 0).all(), [one for one, n in zip(KEYS, found, strict=False) if not n]
    assert (found > 0).tolist() == [by_the_library(one) for one in texts]


def test_two_keys_a_space_apart_are_two() -> None:
    two = f"{KEYS[7]} {KEYS[7]}"
    assert count_personal(pa.array([two, None, "none"]), ["key"], "detect-secrets")[[0, 2]].tolist() == [2, 0]
    assert np.isnan(count_personal(pa.array([None], pa.string()), ["key"], "detect-secrets")).all()


def test_the_release_of_the_rules_is_part_of_the_signal() -> None:
    plain = PersonalData(name="pii", of=["email"], key_rules="detect-secrets").current()
    assert plain.release == ""
    assert PersonalData(name="pii", key_rules="detect-secrets").current().release.startswith("1.")
    assert PersonalData(name="pii").current().release == ""


def test_rows_with_words_of_a_list_or_personal_data_are_a_share_that_a_gate_bounds(tmp_path: Path) -> None:
    texts = ["a damn shame", "write to a@b.io", "fine", "fine too"]
    done = write_pool(tmp_path, np.eye(4), levels=[np.arange(4)], texts=texts)
    run_step = InProcess(make_run(tmp_path))
    recipe = parse(
        {
            "dataset": "d",
            "source": {"uri": "s", "text": "text"},
            "destination": {"uri": "p"},
            "sampling": {"target": 2},
            "entries": [{"name": "profanity", "values": ["damn", "hell"]}],
            "signals": [
                {"name": "profane", "of": "coalesce(length(profanity), 0)"},
                {"name": "pii", "kind": "personal-data"},
            ],
            "filters": [{"drop": "length(profanity) > 0"}],
            "gates": {"add": [{"expect": "signal", "name": "pii", "above": 0, "at_most": 0.01}]},
        }
    )
    for one in in_order(recipe.signals):
        done[f"signals.{one.name}"] = compute_signal(one, done, run_step)
    signals = {name: done[f"signals.{name}"] for name in ("profanity", "profane", "pii")}
    pool = Pool.open(done["ingest"], signals=signals)
    assert pool.column("score.profane").tolist() == [1, 0, 0, 0]
    assert pool.column("score.pii").tolist() == [0, 1, 0, 0]
    inputs = FilterInputs(done["ingest"], signals={"profanity": signals["profanity"]})
    assert FILTER(FilterConfig(rules=recipe.filters), inputs, make_run(tmp_path)).counts["filtered"] == 1
    assert recipe.gates.add[0].label == "signal(pii, above 0)"


@pytest.mark.parametrize("text", ["Ünïcödé 漢字"])
def test_texts_of_any_script_are_read(text: str) -> None:
    assert count_secrets(pa.array([text, f"{text} {KEYS[0]} {text}"])).tolist() == [0, 1]
