"""Reports of shards that were read, kept beside the blocks, so that no shard is read twice."""

from pydantic import BaseModel


class BlockReport(BaseModel):
    """A block as it was written; `schema_` is its payload's Arrow schema in base64.

    packed: (shard, rows) of each shard in a block that may hold several, else empty. mixed: columns that had several
    types in these, which they are. written: columns of numbers that came as text and do not give it back (`1.50`); the
    texts lie in `written/`, with the row ids.
    """

    name: str
    rows: int
    first: int
    schema_: str
    packed: list[tuple[int, int]] = []
    mixed: dict[str, list[str]] = {}
    written: list[str] = []


class ShardReport(BaseModel):
    """Reports how a shard was read; rows = accepted + quarantined. A shard with a `reason` has no row in any block.

    key: `reuse.reading_key`. rules: `reuse.rules_key`. blocks: those that begin with a row of this shard. refusals:
    names of the files with its refused rows, which those of others may share. taken: whether it was taken over from an
    earlier run.
    """

    number: int
    key: str = ""
    rules: str = ""
    taken: bool = False
    refusals: list[str] = []
    bytes: int
    sha256: str
    rows: int = 0
    reasons: dict[str, int] = {}
    blocks: list[BlockReport] = []
    reason: str = ""
    detail: str = ""
