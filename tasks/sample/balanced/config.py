"""What the partitions and the kernel density of a pool depend on besides its clustering."""

from pydantic import BaseModel


class PartitionConfig(BaseModel):
    """How stable partitions are found. rows: of the probe."""

    rows: int = 8192
    seed: int = 0


class KernelDensityConfig(BaseModel):
    """How kernel density is estimated. seed: draws the leaves to compare with, where there are too many for all."""

    seed: int = 0
