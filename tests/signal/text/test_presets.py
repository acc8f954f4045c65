"""The published rules of quality: each fails the text made to fail it, with the threshold that was published."""

from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.kinds.c4 import C4
from evenkeel.tasks.signal.kinds.failed_rule import FailedRule
from evenkeel.tasks.signal.kinds.fineweb import FineWeb
from evenkeel.tasks.signal.kinds.gopher_quality import GopherQuality
from evenkeel.tasks.signal.kinds.gopher_repetition import GopherRepetition
from evenkeel.tasks.signal.kinds.text_statistics import TextStatistics
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.text.signals import RuleSignal, failed_rules
from evenkeel.tasks.step import InProcess
from tests.sample.pools import make_run, write_pool

WORDS = [f"{first}{second}ord" for first in "abcdefghijklm" for second in "aeiou"]  # 65, all different
GOOD = ". ".join(" ".join(["the", "and", *WORDS[start : start + 11]]) for start in range(0, 55, 11)) + ".\n"
FAILING: list[tuple[RuleSignal, str, str]] = [
    (GopherQuality(name="x"), "wordlike_words < 50", " ".join(["the", "and", *WORDS[:47], *"..."])),
    (GopherQuality(name="x"), "wordlike_words > 100000", "the and " * 50_001),
    (GopherQuality(name="x"), "mean_word_length < 3", "the and " + "ab " * 60),
    (GopherQuality(name="x"), "mean_word_length > 10", "the and " + "abcdefghijk " * 60),
    (GopherQuality(name="x"), "hash_ratio > 0.1", GOOD + "#" * 8),
    (GopherQuality(name="x"), "ellipsis_ratio > 0.1", GOOD + "..." * 4 + "…" * 4),
    (GopherQuality(name="x"), "bullet_line_share > 0.9", "\n".join(f"- {word} the and" for word in WORDS)),
    (GopherQuality(name="x"), "ellipsis_line_share > 0.3", GOOD + "and more...\nthe rest…\nthe end\n"),
    (GopherQuality(name="x"), "alphabetic_share < 0.8", GOOD + "1234567 " * 17),
    (GopherQuality(name="x"), "stop_words < 2", GOOD.replace("and", "the")),
    (GopherRepetition(name="x"), "characters < 1", ""),
    (GopherRepetition(name="x"), "duplicate_paragraph_share > 0.3", GOOD + "\n\nab\n\nab\n\nab\n\nab"),
    (
        GopherRepetition(name="x"),
        "duplicate_paragraph_character_share > 0.2",
        "\n\n".join([GOOD.strip(), *WORDS[:5], GOOD.strip()]),
    ),
    (GopherRepetition(name="x"), "duplicate_line_share > 0.3", GOOD + "ab\nab\nab\n"),
    (GopherRepetition(name="x"), "duplicate_line_character_share > 0.2", GOOD + "\n".join([*WORDS[:9], GOOD[:-1]])),
    (GopherRepetition(name="x"), "top_2_gram_share > 0.2", " ".join(f"{word} long pair" for word in WORDS[:30])),
    (
        GopherRepetition(name="x", max_top_ngrams={3: 0.18}),
        "top_3_gram_share > 0.18",
        " ".join(f"{w} a b c" for w in WORDS),
    ),
    (
        GopherRepetition(name="x", max_top_ngrams={4: 0.16}),
        "top_4_gram_share > 0.16",
        " ".join(f"{w} a b c d" for w in WORDS),
    ),
    *(
        (
            GopherRepetition(name="x", max_top_ngrams={}, max_duplicate_ngrams={n: share}),
            f"duplicate_{n}_gram_share > {share:g}",
            " ".join([*WORDS[: 4 * n], *WORDS[:n]]),
        )
        for n, share in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))
    ),
    (C4(name="x"), "lorem_ipsum > 0", GOOD + "Lorem ipsum is no text."),
    (C4(name="x"), "curly_bracket > 0", GOOD + "A line of { code."),
    (
        C4(name="x"),
        "c4_sentences < 5",
        "The first one. " * 4 + "\nNo end here\nWe use javascript.\nOur privacy policy is long.",
    ),
    (FineWeb(name="x"), "full_lines < 1", " \n\t\n"),
    (FineWeb(name="x"), "terminal_line_share < 0.12", "\n".join(["a line of more than thirty characters,"] * 9)),
    (FineWeb(name="x"), "short_line_share > 0.67", GOOD + "short one.\n" * 1 + "shorter.\n" + "brief."),
    (
        FineWeb(name="x"),
        "duplicate_full_line_character_share > 0.01",
        GOOD + "cookies.\nlong enough to be no short line here\ncookies.\n",
    ),
    (FineWeb(name="x"), "line_feed_ratio > 0.3", GOOD + "\n" * 25),
]


@pytest.mark.parametrize(("preset", "rule", "text"), FAILING, ids=[rule for _, rule, _ in FAILING])
def test_a_text_made_to_fail_a_rule_fails_it_and_passes_without_it(preset: RuleSignal, rule: str, text: str) -> None:
    names = ["passes", *map(str, preset.rules())]
    assert [names[number] for number in failed_rules(preset, pa.array([text, GOOD]))] == [rule, "passes"]


@pytest.mark.parametrize("preset", [GopherQuality, GopherRepetition, C4, FineWeb])
def test_there_is_a_text_for_every_rule(preset: type[RuleSignal]) -> None:
    assert {str(rule) for rule in preset(kind=preset.model_fields["kind"].default, name="x").rules()} == {
        rule for one, rule, _ in FAILING if type(one) is preset
    }


def test_a_short_text_fails_gopher_repetition_without_repeating_itself() -> None:
    """As the page on signals says: four words in a row are more than 16 % of it; from 50 words on they are not."""
    preset = GopherRepetition(name="x")
    apart = [" ".join(f"word{number:03d}" for number in range(count)) for count in (5, 15, 24, 50, 200)]
    assert (failed_rules(preset, pa.array(apart)) == 0).tolist() == [False, False, False, True, True]


@pytest.fixture
def done(tmp_path: Path) -> dict[str, StepRef]:
    texts = [GOOD, "too short", GOOD + "#" * 9, "too short as well"] * 40
    return write_pool(tmp_path, np.eye(2)[np.arange(160) % 2], levels=[np.arange(160) % 2], texts=texts)


def test_a_preset_is_a_column_of_ones_and_zeros_and_counts_what_failed(
    tmp_path: Path, done: dict[str, StepRef]
) -> None:
    run_step = InProcess(make_run(tmp_path))
    done["gopher"] = compute_signal(GopherQuality(name="gopher"), done, run_step)
    done["why"] = compute_signal(FailedRule(name="why", of="gopher-quality"), done, run_step)
    pool = Pool.open(done["ingest"], signals={"gopher": done["gopher"], "why": done["why"]})
    assert pool.column("score.gopher").tolist() == [1, 0, 0, 0] * 40
    reasons = chain.from_iterable(pool.table(one.name, ["group.why"])["group.why"].to_pylist() for one in pool.blocks)
    assert list(reasons) == ["passes", "wordlike_words < 50", "hash_ratio > 0.1", "wordlike_words < 50"] * 40
    for name in ("gopher", "why"):
        failed = done[name].facts["failed"]
        assert (failed["wordlike_words < 50"], failed["hash_ratio > 0.1"], sum(failed.values())) == (80, 40, 120)


def test_thresholds_can_be_moved_and_switched_off(tmp_path: Path, done: dict[str, StepRef]) -> None:
    run_step = InProcess(make_run(tmp_path))
    lenient = GopherQuality(name="lenient", min_words=None, max_hashes=None, min_stop_words=0)
    ref = compute_signal(lenient, done, run_step)
    assert set(Pool.open(done["ingest"], signals={"lenient": ref}).column("score.lenient").tolist()) == {1}
    options = {"min_words": 3, "max_hashes": None, "min_stop_words": None}
    ref = compute_signal(FailedRule(name="why", of="gopher-quality", options=options), done, run_step)
    assert ref.facts["failed"]["wordlike_words < 3"] == 40 == sum(ref.facts["failed"].values())


def test_a_statistic_is_a_column(tmp_path: Path, done: dict[str, StepRef]) -> None:
    ref = compute_signal(TextStatistics(name="words", of="words"), done, InProcess(make_run(tmp_path)))
    assert Pool.open(done["ingest"], signals={"words": ref}).column("score.words")[:4].tolist() == [65, 2, 66, 4]


def test_another_column_is_read_where_it_is_named_and_a_null_has_no_value() -> None:
    class Titles:
        where = "signals, x"
        blocks = ("block",)

        def columns(self, block: str, names: list[str]) -> pa.Table:
            return pa.table({"title": pa.array(["a b", None]), "year": [1, 2]})

    signal = TextStatistics(name="x", of="words", column="title")
    assert (signal.needs(), signal.columns()) == (frozenset(), ("title",))
    np.testing.assert_array_equal(signal.compute(Titles(), "block", Fit("", "")), [2, np.nan])  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=r"'year' holds no texts(.|\n)*int64"):
        GopherQuality(name="x", column="year").check(Titles())  # type: ignore[arg-type]


def test_what_is_no_statistic_or_option_is_named() -> None:
    with pytest.raises(ValidationError, match="did you mean words"):
        TextStatistics(name="x", of="wordz")
    with pytest.raises(ValidationError, match=r"options.min_wordz: Extra inputs"):
        FailedRule(name="x", of="gopher-quality", options={"min_wordz": 3})
