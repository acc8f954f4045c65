"""What a recipe asks of the profile of columns."""

from pydantic import BaseModel, ConfigDict, Field


class ProfileConfig(BaseModel):
    """What is found out about the columns of a version, and shown on its card."""

    model_config = ConfigDict(extra="forbid", title="profile")

    dependencies: int = Field(
        2, ge=0, le=3, description="Columns on the left of a functional dependency, at most; 0 = none are looked for."
    )
    uniques: bool = Field(
        True, description="Sets of columns that tell all rows apart, of as many columns (at least 1)."
    )
    typos: bool = Field(True, description="Values that are one edit away from a far commoner one.")
    columns: list[str] = Field(
        default_factory=list,
        description="Columns to look at; empty = the first 24 of the source that hold plain values.",
    )
    max_error: float = Field(
        0.01, ge=0, le=0.5, description="Share of rows that may have to go for a dependency to hold (g3)."
    )
    ratio: float = Field(20, ge=1, description="How many times the rows of a near-miss the commoner value has.")
    sample_rows: int = Field(
        65_536,
        ge=100,
        le=1 << 20,
        description="Rows among which dependencies are found; what is found is checked on all.",
    )
