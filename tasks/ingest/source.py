"""Find the shards of a source, each with a fingerprint, so that a changed shard changes the key of the step."""

import itertools
import posixpath
from collections import Counter
from collections.abc import Mapping

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.tasks.ingest.config import IngestRequest, SourceConfig
from evenkeel.tasks.ingest.fingerprints import fingerprint_of
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.partitions import partition_of
from evenkeel.tasks.ingest.reader import READERS, Harvester, format_of, reader_of, suffixes


def ingest_request(source: SourceConfig, numbers: Mapping[str, int] | None = None) -> IngestRequest:
    """Return what the ingest step is called with: the source and its shards with their fingerprints, by number.

    numbers: by name, those that shards were given before; others get the next ones, in the order they are found.
    Cheap: lists the store, opens nothing. Raises InputError where no shard is found, RecipeError where a format is
    unknown or the number of `ids` files is not that of the shards.
    """
    given = dict(numbers or {})
    following = itertools.count(max(given.values(), default=-1) + 1)
    shards = [
        shard.model_copy(update={"number": given[shard.name] if shard.name in given else next(following)})
        for shard in find_shards(source)
    ]
    plain = source.model_copy(update={"on_change": SourceConfig.model_fields["on_change"].default})
    return IngestRequest(source=plain, shards=sorted(shards, key=lambda shard: shard.number))


def find_shards(source: SourceConfig, field: str = "source.uri") -> list[ListedShard]:
    """Return the shards of a source in pool order: by place in `uri`, then by name. field: names it in messages."""
    if (harvester := _harvester(source)) is not None:
        return harvester.list_shards()
    shards: dict[str, ListedShard] = {}
    for place in [source.uri] if isinstance(source.uri, str) else source.uri:
        for uri, name in _expand(place, source.format, field):
            _readable_name(uri)
            size, fingerprint = fingerprint_of(uri)
            form = format_of(uri) if source.format == "auto" else source.format
            if form is None:
                raise RecipeError(
                    f"the format of {uri} is unknown: its name has none of the suffixes",
                    expected=", ".join(sorted(suffixes())) + " (also .gz, .zst)",
                    remedy="set source.format",
                )
            columns = partition_of(uri, name) if source.partitions else {}
            found = ListedShard(uri=uri, name=name, format=form, bytes=size, fingerprint=fingerprint, partition=columns)
            shards.setdefault(uri, found)
    if not shards:
        raise InputError(
            f"{field} holds no shard", where=str(source.uri), remedy=f"check {field}: a file, a folder or a glob"
        )
    return _with_ids(_with_unique_names(list(shards.values())), source)


def _harvester(source: SourceConfig) -> Harvester | None:
    """Return the reader that lists the shards of a source itself, None where they are files."""
    if source.format != "auto":
        named = reader_of(source.format)
        return named if isinstance(named, Harvester) else None
    ours = [reader() for reader in READERS.ours().values() if issubclass(reader, Harvester)]
    return next((one for one in ours if isinstance(source.uri, str) and source.uri.startswith(one.scheme)), None)


def _expand(place: str, wanted: str = "auto", field: str = "source.uri") -> list[tuple[str, str]]:
    """Return (uri, name below the fixed part) of the files that a file, folder or glob names, sorted by name."""
    with storage.store_errors("list", place):
        return _listed(place, wanted, field)


def _listed(place: str, wanted: str, field: str) -> list[tuple[str, str]]:
    fs, path = storage.filesystem(place)
    fs.invalidate_cache()
    if any(mark in path for mark in "*?[") and not fs.exists(path):
        fixed = []
        for part in path.split("/"):
            if any(mark in part for mark in "*?["):
                break
            fixed.append(part)
        root, found = "/".join(fixed), [item for item in fs.glob(path) if fs.isfile(item)]
    elif fs.isdir(path):
        below = [item for item in fs.find(path) if not _hidden(item[len(path) :])]
        root, found = path, [item for item in below if wanted != "auto" or format_of(item)]
    elif fs.exists(path):
        root, found = posixpath.dirname(path), [path]
    else:
        raise InputError(f"{place} is not there", where=field, remedy=f"check {field} and the store's credentials")
    local = storage.is_local(place)
    named = [
        (str(item) if local else str(fs.unstrip_protocol(item)), posixpath.relpath(item, root or "/")) for item in found
    ]
    return sorted(named, key=lambda pair: pair[1])


def _readable_name(uri: str) -> None:
    """Raise InputError where the name of a file is no text, so that no list of shards could name it."""
    try:
        uri.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            "the name of a shard is not UTF-8", found=repr(uri), where=posixpath.dirname(uri), remedy="rename the file"
        ) from error


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.strip("/").split("/"))


def _with_unique_names(shards: list[ListedShard]) -> list[ListedShard]:
    """Name shards by their whole URI where two places give the same name."""
    times = Counter(shard.name for shard in shards)
    return [shard.model_copy(update={"name": shard.uri}) if times[shard.name] > 1 else shard for shard in shards]


def _with_ids(shards: list[ListedShard], source: SourceConfig) -> list[ListedShard]:
    if source.ids is None:
        return shards
    places = [source.ids] if isinstance(source.ids, str) else source.ids
    files = [uri for place in places for uri, _ in _expand(place, wanted="any")]
    taking = sum(reader_of(shard.format).takes_ids for shard in shards)
    if not len(files) == len(shards) == taking:
        raise RecipeError(
            "source.ids needs one file for each .npy shard",
            expected=f"{len(shards)} .npy shards and as many files of ids",
            found=f"{taking} .npy shards, {len(files)} files of ids",
            remedy="give source.ids as one file per shard, in the order of the shards' names",
        )
    return [
        shard.model_copy(update={"ids": uri, "ids_fingerprint": ":".join(map(str, fingerprint_of(uri)))})
        for shard, uri in zip(shards, files, strict=True)
    ]
