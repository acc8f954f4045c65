"""Frequencies of tags: in the profile, and on the card with its long tail and the entries that are never seen."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from evenkeel.expectations.concerns.diversity import ConditionalEntropy
from evenkeel.flows.around_clustering import compute_signal
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.report.config import ReportConfig
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.signal.kinds.entries import EntriesSignal
from evenkeel.tasks.step import InProcess
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.step import VALIDATE
from tests.report.cards import RELAXED, Card, card_of
from tests.sample.pools import sampled
from tests.validate.pools import WORDS, Curated, curate, write_shards

ASKED = [*WORDS, *(f"topic {number}" for number in range(40)), "dodo & <b>auk</b>", "unicorn"]
FACTS = {"strategy": {"name": "entries", "over": ["words"]}, "target": 260}


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    folder = tmp_path_factory.mktemp("tags")
    found = curate(folder, write_shards(folder / "shards", 900, hostile=False), levels=(30, 6))
    done, run = found.done, found.run
    done["signals.words"] = compute_signal(EntriesSignal(name="words", values=ASKED), done, InProcess(run))
    done["sample"] = sampled(SamplingConfig.model_validate(FACTS), done, run)
    done["measure"] = MEASURE(MeasureConfig(), MeasureInputs.of(done), run)
    return found


@pytest.fixture(scope="module")
def card(curated: Curated) -> Card:
    return card_of(curated, RELAXED, ReportConfig(dataset="topics", version=1))


@pytest.mark.long
def test_the_profile_counts_every_tag_before_and_after(curated: Curated) -> None:
    profile, done = Profile.open(curated.done["measure"]), curated.done
    pool = Pool.open(done["ingest"], signals={"words": done["signals.words"]})
    rows = [
        (row_id, tags or [])
        for block in pool.blocks
        for row_id, tags in zip(*pool.table(block, ["row_id", "tags.words"]).to_pydict().values(), strict=True)
    ]
    kept = set(Selection.open(done["sample"]).row_ids().tolist())
    before = Counter(tag for _, tags in rows for tag in tags)
    after = Counter(tag for row, tags in rows for tag in tags if row in kept)
    table = profile.tags
    assert dict(zip(table["tag"], table["before"], strict=True)) == before
    assert dict(zip(table["tag"], table["after"], strict=True)) == {tag: after[tag] for tag in before}
    assert table["rank"].tolist() == list(range(1, len(before) + 1))
    assert table["before"].is_monotonic_decreasing
    assert table["ranked_after"].tolist() == sorted((after[tag] for tag in before), reverse=True)
    (total,) = profile.tag_totals.to_dict("records")
    assert (total["tags"], total["asked"], total["unseen"]) == (len(before), len(ASKED), len(ASKED) - len(before))
    assert {*total["examples"]} == {*ASKED} - {*before} >= {"unicorn"}
    assert (total["matches_after"], total["rows_after"]) == (after.total(), len(kept))
    assert {"tags.parquet", "tag_totals.parquet", "sketch.npy"} <= {*profile.files()}


def test_a_pool_without_tags_has_no_table_of_them(curated: Curated) -> None:
    plain = {name: ref for name, ref in curated.done.items() if not name.startswith("signals.")}
    plain["sample"] = sampled(SamplingConfig.model_validate({"strategy": "random", "target": 50}), plain, curated.run)
    profile = Profile.open(MEASURE(MeasureConfig(), MeasureInputs.of(plain), curated.run))
    assert len(profile.tags) == len(profile.tag_totals) == 0
    assert "tags.parquet" not in profile.files()


def test_the_card_shows_the_long_tail_and_what_is_never_seen(curated: Curated, card: Card) -> None:
    cap = curated.done["sample"].facts["cap"]
    under = curated.done["sample"].facts["tags"]["words"]["under_cap"]
    (section,) = [part for part in card.html.split("<section") if part.startswith(' id="tags"')]
    assert f"{under:,} tags with at most t = {cap:,.1f} rows keep all of them" in section
    assert "2 of 56 entries that were asked for are in no row: dodo &amp; &lt;b&gt;auk&lt;/b&gt;, unicorn." in section
    assert section.count("<svg") == 2
    assert "before: most" in section
    assert "cap t =" in section
    assert '<a href="#tags">Tags</a>' in card.html
    out = Path(card.ref.uri) / "card.html"
    assert out.stat().st_size < 2_000_000


@pytest.mark.long
def test_an_attribute_that_a_concept_decides_fails_the_gate(curated: Curated) -> None:
    """A topic is one language and has two licences at random: the first has no entropy inside a tag, the second has."""
    pairs = [("group.language", "tags.words"), ("group.licence", "group.language")]
    done = {**curated.done}
    done["measure"] = MEASURE(MeasureConfig(joint=pairs), MeasureInputs.of(done), curated.run)
    joint = Profile.open(done["measure"]).joint
    table = joint[joint["given"] == "tags.words"].pivot_table(
        "after", "concept", "attribute", fill_value=0, aggfunc="sum"
    )
    counts = table.to_numpy()[table.sum(axis=1) > 0]
    share = counts / counts.sum(axis=1, keepdims=True)
    inside = -(share * np.log(np.where(share > 0, share, 1))).sum(axis=1)
    attributes = joint[joint["given"] == "tags.words"]["attribute"].nunique()
    expected = (inside * counts.sum(axis=1)).sum() / counts.sum() / np.log(attributes)
    gate = ConditionalEntropy(scope="group.language", given="tags.words", at_least=0.9)
    found = gate.measure(joint)
    assert found.value == pytest.approx(expected)
    assert not gate.holds(found)
    assert found.offenders[0].scope == "tags.words"
    topic = [one for one in found.offenders if one.name.startswith("topic ")]
    assert topic
    assert all("100% of its" in one.why for one in topic)
    gates = {**RELAXED, "add": [gate.model_dump()]}
    facts = VALIDATE(GatesConfig.model_validate(gates), ValidateInputs.of(done), curated.run).facts
    assert any(one["expectation"].startswith("conditional_entropy") for one in facts["failed"])
