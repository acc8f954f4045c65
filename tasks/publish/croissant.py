"""A version as a Croissant record, by which data sets are found and loaded (MLCommons, https://mlcommons.org/croissant)."""

import json
import re
from collections.abc import Mapping, Sequence

from evenkeel.tasks.publish.manifest import Staged

CROISSANT = "croissant.json"
CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
TYPES = (
    (r"^(u?int)\d+$", "sc:Integer"),
    (r"^(half_?float|float|double)\d*$", "sc:Float"),
    (r"^bool$", "sc:Boolean"),
    (r"^(date|timestamp)", "sc:Date"),
)


def render_croissant(
    staged: Staged,
    dataset: str,
    number: int,
    day: str,
    licences: Sequence[str],
    sources: Sequence[Mapping[str, object]],
) -> bytes:
    """Return `croissant.json`: the data files with their hashes, and the columns of their rows.

    day: when it was published, ISO 8601. licences: of the rows, as the table of sources says. sources: its
    lines that rows of the version come from.
    """
    files = [
        {
            "@type": "cr:FileObject",
            "@id": entry.path,
            "name": entry.path.rpartition("/")[2],
            "contentUrl": entry.path,
            "contentSize": f"{entry.bytes} B",
            "encodingFormat": "application/x-parquet",
            "sha256": entry.sha256,
        }
        for entry in staged.data
    ]
    whole = {
        "@type": "cr:FileSet",
        "@id": "rows-files",
        "name": "rows-files",
        "encodingFormat": "application/x-parquet",
        "includes": "data/*.parquet",
    }
    fields = [_field(name, kind) for name, kind in staged.columns.items()]
    based = [str(line["url"]) for line in sources if line["url"]]
    creators = [str(line["creator"]) for line in sources if line["creator"]]
    record: dict[str, object] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": dataset,
        "version": f"{number}.0.0",
        "description": f"{staged.counts['kept']:,} rows of {staged.counts['read']:,}, curated by Evenkeel.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "datePublished": day,
        **({"license": list(licences)} if licences else {}),
        **(
            {"creator": [{"@type": "Organization", "name": one} for one in dict.fromkeys(creators)]} if creators else {}
        ),
        **({"isBasedOn": based} if based else {}),
        "distribution": [*files, whole],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}],
    }
    return json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n"


def _field(name: str, kind: str) -> dict[str, object]:
    inner = re.fullmatch(r"(?:fixed_size_|large_)?list<(?:\w+: )?([\w\[\], ]+?)(?: not null)?>(?:\[\d+\])?", kind)
    plain = inner.group(1) if inner else kind
    data = next((data for pattern, data in TYPES if re.match(pattern, plain)), "sc:Text")
    return {
        "@type": "cr:Field",
        "@id": f"rows/{name}",
        "name": f"rows/{name}",
        "dataType": data,
        **({"repeated": True} if inner else {}),
        "source": {"fileSet": {"@id": "rows-files"}, "extract": {"column": name}},
    }
