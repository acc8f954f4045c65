"""Settings of the report step: what the card shows that no earlier step knows."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from evenkeel.tasks.publish.tier import Tier


class PastVersion(BaseModel):
    """One published version, as the card compares with it. metrics: the facts of its measure step."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, description="Its number.")
    created: str = Field("", description="When it was published, ISO 8601.")
    rows: int = Field(ge=0, description="Rows it holds.")
    folder: str = Field("", description="Name of its folder beside the coming version's, for a link to its card.")
    metrics: dict[str, float] = Field(default_factory=dict, description="Balance: entropy_after, gini_after, ...")


class ReportConfig(BaseModel):
    """What the card is about. It is part of the version, so the number of the version is set before it is published."""

    model_config = ConfigDict(extra="forbid")

    dataset: str = Field(description="Name of the dataset.")
    recipe: dict[str, JsonValue] = Field(default_factory=dict, description="The recipe as a plain document.")
    version: int | None = Field(None, ge=1, description="The number the version gets if nobody publishes before it.")
    created: str = Field("", description="The day the version was made, ISO 8601; empty shows none.")
    location: str = Field("", description="Folder or URI where the version's files will lie.")
    tier: Tier | None = Field(None, description="The tier of the version, where the recipe wants one.")
    history: list[PastVersion] = Field(default_factory=list, description="Earlier versions, oldest first.")
    price_per_hour: float | None = Field(None, ge=0, description="Price of one hour of the machines, for the cost.")
