"""A recipe is refused with the field, the value and the remedy, or it is taken as written."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evenkeel.flows.lineage import same_rule
from evenkeel.flows.recipe import Recipe, RecipeFile, json_schema, load, parse, ready_recipes
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.publish.manifest import Manifest


def minimal() -> dict[str, object]:
    return {
        "dataset": "pool",
        "source": {"uri": "data/*.parquet"},
        "sampling": {"target": 100},
        "destination": {"uri": "published"},
    }


def test_four_things_are_enough() -> None:
    recipe = parse(minimal())
    assert recipe.sampling.target == 100
    assert recipe.compute == "local"


def test_written_and_read_again_is_the_same_recipe() -> None:
    recipe = parse(minimal(), ["clustering.levels=[100, 10]", "sampling.strategy=flat"])
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())) == recipe


@pytest.mark.parametrize(
    ("gates", "limit"),
    [
        ({}, 0.2),
        ({"suite": "first-version"}, 0.2),
        ({"suite": "strict"}, 0.001),
        ({"change": {"quarantine_rate": {"at_most": 0.05}}}, 0.05),
        ({"remove": ["quarantine_rate"]}, None),
    ],
)
def test_the_gate_on_refused_rows_follows_the_source_where_gates_say_nothing(
    gates: dict[str, object], limit: float | None
) -> None:
    document = {**minimal(), "source": {"uri": "data", "max_quarantined": 0.2}, "gates": gates}
    recipe = parse(document)
    found = [one.model_dump()["at_most"] for one in recipe.gates.expectations() if one.expect == "quarantine_rate"]
    assert found == ([] if limit is None else [limit])
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())) == recipe
    assert parse(minimal()).gates.change == []


@pytest.mark.parametrize(
    "field", ["source.uri", "destination.uri", "destination.catalog", "workspace", "compute", "dedup.exclude.0.uri"]
)
def test_a_password_is_refused_and_not_repeated(field: str) -> None:
    document: dict[str, object] = {**minimal(), "dedup": {"exclude": [{"by": "ids", "uri": "x"}]}}
    place: object = document
    *sections, name = field.split(".")
    for section in sections:
        place = place[int(section)] if isinstance(place, list) else place.setdefault(section, {})  # type: ignore[attr-defined]
    place[name] = "s3://me:hunter2@bucket/x"  # type: ignore[index]
    with pytest.raises(RecipeError, match=rf"{field}: a password has no place in a recipe") as caught:
        parse(document)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match="no place in a recipe") as plain:
        Recipe.model_validate(document)
    assert "hunter2" not in str(plain.value)


@pytest.mark.parametrize(
    ("section", "earlier", "today"),
    [
        (
            "embedding",
            {"method": "tfidf-svd", "longest": 500, "characters": False},
            {"method": "tfidf-svd", "max_characters": 500, "char_ngrams": False},
        ),
        (
            "embedding",
            {"method": "sentence-transformers", "longest": 64},
            {"method": "sentence-transformers", "max_tokens": 64},
        ),
        (
            "embedding",
            {"method": "image", "model": "vit", "most_pixels": 9},
            {"method": "image", "model": "vit", "max_pixels": 9},
        ),
        ("dedup", {"near": {"longest": 2048}}, {"near": {"max_characters": 2048}}),
        (
            "dedup",
            {"exclude": [{"by": "ngrams", "uri": "b.jsonl", "shortest": 5, "runs": 2, "stamp": "x"}]},
            {"exclude": [{"by": "ngrams", "uri": "b.jsonl", "min_words": 5, "min_shared": 2, "fingerprint": "x"}]},
        ),
        (
            "sampling",
            {"target": 9, "strategy": {"name": "subclass", "group": "kind", "least": 4}},
            {"target": 9, "strategy": {"name": "subclass", "group": "kind", "min_rows": 4}},
        ),
        (
            "sampling",
            {
                "target": 9,
                "rehydrate": {"removed": {1: 0.5}, "most": 3},
                "shares": [{"group": "kind", "value": "a", "rows_at_least": 2}],
            },
            {
                "target": 9,
                "rehydrate": {"removed": {1: 0.5}, "max_copies": 3},
                "shares": [{"group": "kind", "value": "a", "min_rows": 2}],
            },
        ),
    ],
)
def test_fields_of_earlier_recipes_are_still_read(section: str, earlier: object, today: object) -> None:
    one, other = parse({**minimal(), section: earlier}), parse({**minimal(), section: today})
    assert one == other != parse(minimal())


def test_a_version_published_with_an_earlier_field_name_keeps_its_rule() -> None:
    shares = {"group": "language", "value": "is"}
    sampling = {
        "target": 100,
        "rehydrate": {"removed": {1: 0.5}, "max_copies": 3},
        "shares": [{**shares, "min_rows": 5}],
    }
    recipe = parse({**minimal(), "sampling": sampling})
    published = recipe.model_dump(mode="json")
    published["sampling"]["rehydrate"]["most"] = published["sampling"]["rehydrate"].pop("max_copies")
    published["sampling"]["shares"] = [{**shares, "rows_at_least": 5}]
    fields: dict[str, Any] = {"recipe": published, "document": {"steps": {"sample": {"facts": {"chosen": "flat"}}}}}
    current = Manifest.model_construct(**fields)
    assert same_rule(recipe, current).sampling.strategy.model_dump()["rule"] == "flat"
    assert same_rule(parse({**minimal(), "sampling": {"target": 99}}), current).sampling.target == 99


@pytest.mark.parametrize("name", ready_recipes())
def test_ready_recipes_are_valid_by_name(name: str) -> None:
    assert load(name).dataset
    assert RecipeFile(file=name, overrides=["sampling.target=7"]).load().sampling.target == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("samplng.target=5", "samplng: there is no such field; did you mean sampling?"),
        ("sampling.taget=5", "sampling.taget: there is no such field; did you mean target?"),
        ("sampling.target=-3", "sampling.target"),
        ("dataset=No Spaces!", "dataset"),
        ("clustering.levels=[10, 100]", "levels must shrink"),
        ("sampling.strategy=balancd", "balancd"),
        ("source=7", "source"),
        ("sampling.target=0", "the target must be at least 1 row"),
        ("sampling.target=0%", "the share must be above 0%"),
        ("sampling.target=0 tokens", "at least 1 token"),
        ("sampling.strategy={name: uniform}", "sampling.strategy.uniform.groups: is needed"),
        ("sampling.strategy={name: quality, scores: {a: 0}}", "not all zero"),
        (
            "sampling.shares=[{group: a, value: x, at_least: 0.7, at_most: 0.6}]",
            "contradictory bounds for a=x: at_least 0.7 > at_most 0.6",
        ),
        (
            "sampling.shares=[{group: a, value: x, at_least: 0.7}, {group: a, value: y, at_least: 0.6}]",
            "the smallest shares of a sum to 1.3",
        ),
    ],
)
def test_a_mistake_is_named(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(minimal(), [change])
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_gate_on_a_column_that_is_no_group_is_refused_before_anything_runs() -> None:
    gate = "gates.add=[{expect: gini, scope: group.langauge}]"
    with pytest.raises(RecipeError, match=r"gini\(group.langauge\) needs a column .* source.groups; it has language"):
        parse(minimal(), ["source.groups=[language]", gate])
    assert parse(minimal(), ["source.groups=[langauge]", gate])


def test_a_gate_on_a_signal_that_is_not_there_is_refused_before_anything_runs() -> None:
    gate = "gates.add=[{expect: signal, name: qualty, mean_at_least: 0.5, by: group.language}]"
    with pytest.raises(RecipeError, match=r"signal\(qualty, mean, by group.language\) needs .* a number: quality"):
        parse(minimal(), ["source.scores=[quality]", "source.groups=[language]", gate])
    with pytest.raises(RecipeError, match=r"by a column that is no group; it has none"):
        parse(minimal(), ["source.scores=[qualty]", gate])
    assert parse(minimal(), ["source.scores=[qualty]", "source.groups=[language]", gate])


def test_overrides_leave_the_document_as_it_was() -> None:
    document = minimal()
    parse(document, ["sampling.target=7", "sampling.seed=3"])
    assert document == minimal()


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(RecipeError, match="3 problems"):
        parse({**minimal(), "dataset": 7, "extra": 1, "source": {}})


def test_what_is_missing_is_named() -> None:
    document = minimal()
    del document["sampling"]
    with pytest.raises(RecipeError, match="sampling: is needed and not given"):
        parse(document)


def test_the_words_on_and_no_are_words_and_still_switch_options(tmp_path: Path) -> None:
    text = yaml.safe_dump(minimal()) + (
        "signals: [{name: loss, join: scores.parquet, on: id}]\nfilters: [{drop: loss > 3}]\ndedup: {exact: off}\n"
    )
    (tmp_path / "recipe.yaml").write_text(text)
    recipe = load(tmp_path / "recipe.yaml", ["sampling.shares=[{group: language, value: no, at_most: 0.5}]"])
    (signal,) = recipe.signals
    assert signal.model_dump()["on"] == "id"
    assert recipe.sampling.shares[0].value == "no"
    assert recipe.dedup.exact is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: a\ndataset: b\n", "written twice"),
        ("a: [1", "not YAML"),
        ("- a\n- b\n", "no fields"),
        ("", "no fields"),
        ("x: !!python/object/apply:os.system ['true']\n", "not YAML"),
    ],
)
def test_a_file_that_is_no_recipe_says_why(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load(tmp_path / "r.yaml")


def test_a_recipe_that_vanished_names_the_ready_ones() -> None:
    with pytest.raises(RecipeError, match="docstrings"):
        load("gone.yaml")


def test_overrides_are_yaml_and_make_sections(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(minimal()))
    recipe = load(tmp_path / "r.yaml", ["clustering.seed=7", "source.groups=[a, b]", "destination.tag=null"])
    assert (recipe.clustering.seed, recipe.source.groups, recipe.destination.tag) == (7, ["a", "b"], None)
    with pytest.raises(RecipeError, match=r"section\.field=value"):
        load(tmp_path / "r.yaml", ["clustering.seed"])
    with pytest.raises(RecipeError, match="is not a section"):
        load(tmp_path / "r.yaml", ["dataset.name=x"])


def test_schema_describes_every_section() -> None:
    schema = json_schema()
    assert set(schema["required"]) == {"dataset", "source", "sampling", "destination"}
    assert all(field.get("description") or "$ref" in field for field in schema["properties"].values())


def test_a_recipe_that_refers_to_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("dataset: d\nsource: &s\n  uri: x\n  groups: [*s]\n")
    with pytest.raises(RecipeError):
        load(path)
