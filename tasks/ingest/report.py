"""Reports of shards that were read, kept beside the blocks, so that no shard is read twice."""

from pydantic import BaseModel


class BlockReport(BaseModel):
    """A block as it was written; `schema_` is its payload's Arrow schema in base64."""

    name: str
    rows: int
    first: int
    schema_: str


class ShardReport(BaseModel):
    """Reports how a shard was read; rows = accepted + quarantined. A shard with a `reason` has no block.

    key: `reuse.reading_key`. rules: `reuse.rules_key`. parts: how many files its refused rows fill. taken: whether it
    was taken over from an earlier run.
    """

    number: int
    key: str = ""
    rules: str = ""
    taken: bool = False
    parts: int = 0
    bytes: int
    sha256: str
    rows: int = 0
    reasons: dict[str, int] = {}
    blocks: list[BlockReport] = []
    reason: str = ""
    detail: str = ""
