"""Where a version comes from, as W3C PROV in its JSON form (https://www.w3.org/submissions/prov-json/)."""

import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from evenkeel.tasks.publish.manifest import Staged, hash_document
from evenkeel.tasks.publish.redact import redacted, without_secrets

PROV = "prov.json"
PREFIXES = {
    "prov": "http://www.w3.org/ns/prov#",
    "dct": "http://purl.org/dc/terms/",
    "ek": "urn:evenkeel:",
}
Line = Mapping[str, object]
Records = dict[str, dict[str, object]]


def render_prov(
    staged: Staged, dataset: str, number: int, recipe: Mapping[str, object], sources: Sequence[Line], software: str
) -> bytes:
    """Return `prov.json`: the version, the run that made it, the shards it used, and the sources of these.

    sources: lines of `sources.parquet`, with the numbers of their shards. software: name and version of what ran.
    """
    version, run, agent = f"ek:{_name(dataset)}/v{number}", f"ek:run/{_name(staged.run)}", f"ek:{_name(software)}"
    recipe_hash = hash_document(redacted(dict(recipe)))
    plan = f"ek:recipe/{recipe_hash}"
    shards = {shard.number: f"ek:shard/{shard.number}" for shard in staged.shards}
    entities: Records = {
        version: {
            "prov:type": "prov:Collection",
            "dct:title": dataset,
            "ek:version": number,
            "ek:rows": staged.counts["kept"],
            "ek:contentKey": staged.content_key,
        },
        plan: {"prov:type": "prov:Plan", "ek:hash": recipe_hash},
    }
    for shard in staged.shards:
        entities[shards[shard.number]] = {
            "prov:location": without_secrets(shard.uri),
            "ek:sha256": shard.sha256,
            "ek:bytes": shard.bytes,
            "ek:rows": shard.rows,
            "ek:quarantined": shard.quarantined,
        }
    document: dict[str, object] = {
        "prefix": PREFIXES,
        "activity": {run: {"prov:type": "ek:Curation"}},
        "wasGeneratedBy": {"_:made": {"prov:entity": version, "prov:activity": run}},
        "wasAssociatedWith": {"_:with": {"prov:activity": run, "prov:agent": agent, "prov:plan": plan}},
        "used": {f"_:used{n}": {"prov:activity": run, "prov:entity": one} for n, one in shards.items()},
    }
    agents: Records = {agent: {"prov:type": "prov:SoftwareAgent", "dct:title": software}}
    derived: Records = {
        f"_:from{number}": {"prov:generatedEntity": version, "prov:usedEntity": one} for number, one in shards.items()
    }
    attributed: Records = {}
    for line in sources:
        if not (mine := [one for one in _numbers(line["shards"]) if one in shards]):
            continue
        source = f"ek:source/{_name(str(line['source']))}"
        names = {"dct:title": "source", "dct:license": "licence", "dct:accessRights": "terms", "prov:location": "url"}
        entities[source] = {key: str(line[name]) for key, name in names.items() if line[name]}
        derived |= {f"_:of{one}": {"prov:generatedEntity": shards[one], "prov:usedEntity": source} for one in mine}
        if line["creator"]:
            creator = f"ek:creator/{_name(str(line['creator']))}"
            agents[creator] = {"prov:type": "prov:Agent", "dct:title": str(line["creator"])}
            attributed[f"_:by{len(attributed)}"] = {"prov:entity": source, "prov:agent": creator}
    document |= {"entity": entities, "agent": agents, "wasDerivedFrom": derived, "wasAttributedTo": attributed}
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _name(words: str) -> str:
    """Return words as the local part of a qualified name."""
    return quote(words, safe="-_.") or "-"


def _numbers(shards: object) -> list[int]:
    return [int(one) for one in shards] if isinstance(shards, list) else []
