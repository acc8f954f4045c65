"""What reading a shard left: kept beside the blocks, so that no shard is read twice."""

from pydantic import BaseModel


class BlockReport(BaseModel):
    """A block as it was written; `schema_` is its payload's Arrow schema in base64."""

    name: str
    rows: int
    first: int
    schema_: str


class ShardReport(BaseModel):
    """What became of a shard; rows = accepted + quarantined. A shard with a `reason` has no block.

    key: of all that decides what reading it writes. parts: how many files its refusals take. taken: it was not read but
    taken over from an earlier run. rules: of what decides which rows of it are sound.
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
