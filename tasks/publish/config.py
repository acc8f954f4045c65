"""Where versions go, under which name, how their files are cut, and how long they are kept."""

import re
from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from evenkeel.tasks.publish.redact import refuse_password

DATASET_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
TAG_NAME = r"[a-z0-9](?:[a-z0-9_.-]{0,62}[a-z0-9])?"
VERSION_TAG = r"v[1-9][0-9]{0,8}"
TRIAL_TAG = r"trial-[0-9]+-[0-9]+"
"""Versions that a mixture tries out: each is drawn to be trained on once, and never becomes the current one."""
LATEST = "latest"


def check_dataset_name(name: str) -> str:
    """Return `name`, or raise ValueError: it becomes a folder, a table and a part of addresses on every store."""
    if not re.fullmatch(DATASET_NAME, name):
        raise ValueError(
            f"{name!r} is not a dataset name: 1 to 64 lower-case letters, digits, '-' and '_', the first no sign"
        )
    return name


def check_tag_name(name: str) -> str:
    """Return `name`, or raise ValueError: tags are free names; `v7`, `main`, `latest`, `audit-...` are not."""
    if not re.fullmatch(TAG_NAME, name) or ".." in name:
        raise ValueError(f"{name!r} is not a tag: 1 to 64 lower-case letters, digits, '-', '_' and single '.' inside")
    if name == LATEST:
        raise ValueError("`latest` always means the current version: roll back to another one, or choose another name")
    if re.fullmatch(TRIAL_TAG, name):
        raise ValueError(f"the name {name!r} is kept for the trials of mixtures: choose another")
    if re.fullmatch(r"v[0-9]+", name) or name == "main" or name.startswith("audit-"):
        raise ValueError(f"the name {name!r} is kept for the versions themselves: choose another")
    return name


def trial_of(tags: Iterable[str]) -> str:
    """Return the name of the trial that a version with these tags is; empty where it is none."""
    return next((tag for tag in tags if re.fullmatch(TRIAL_TAG, tag)), "")


class Retention(BaseModel):
    """What `prune` keeps: every tagged version and the current one always, and of the others the newest."""

    model_config = ConfigDict(extra="forbid")

    keep_last: int = Field(10, ge=1, description="The newest versions kept, tagged or not.")
    keep_days: float = Field(30, ge=0, description="Versions younger than this many days are kept.")
    grace_hours: float = Field(
        24, ge=0, description="Files that no version holds are removed only when they are older than this."
    )
    trash_days: float = Field(
        7, ge=0, description="Versions that a prune lets go stay in the trash for this many days; 0: none."
    )
    workspace_days: float = Field(
        14,
        ge=2,
        description="Step outputs in the workspace that no kept version builds on are removed once no run used them "
        "for this many days.",
    )


class StageConfig(BaseModel):
    """The part of a destination that decides what the data files are; the rest may change without staging again."""

    model_config = ConfigDict(extra="forbid")

    uri: str = Field(description="Folder for datasets: a path or an fsspec URI such as s3://bucket/curated.")
    payload: Literal["rows", "pointers"] = Field(
        "rows",
        description="`rows` publishes the kept rows with all their columns, `pointers` only their places in the "
        "source.",
    )
    rows_per_file: int = Field(
        250_000, ge=1, le=100_000_000, description="Maximum rows in a data file; wide rows make it shorter (256 MiB)."
    )
    rows_per_group: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="Maximum rows in a row group, the unit of streaming; wide rows: 16 MiB.",
    )

    fates: ClassVar[bool] = True
    """Whether what became of every other row is written beside the rows."""

    @field_validator("uri")
    @classmethod
    def _plain_place(cls, uri: str) -> str:
        if not uri.strip() or uri != uri.strip():
            raise ValueError("name a folder or a URI, without spaces around it")
        if ".." in re.split(r"[/\\]", uri):
            raise ValueError("write the destination without '..'")
        return refuse_password(uri)


class TrialStageConfig(StageConfig):
    """How the files of a trial of a mixture are cut: the rows alone, for there are many trials of one pool."""

    fates: ClassVar[bool] = False

    trial: Literal[True] = Field(True, description="Set for trials of a mixture.")


class DestinationConfig(StageConfig):
    """Where versions are published, what they hold and how long they are kept."""

    tag: str | None = Field(
        LATEST,
        description="A tag that follows the current version, as `latest` always does; null moves no other than that.",
    )
    catalog: str | None = Field(
        None,
        description="The Iceberg catalog: postgresql://host/database, https://... (REST), sqlite:///path, or the name "
        "of one from PyIceberg's configuration. "
        "Default: a SQLite file, `<destination>/catalog.db`; for an object store, in the user's data folder.",
    )
    retention: Retention = Field(default_factory=Retention, description="What prune keeps.")

    @field_validator("tag")
    @classmethod
    def _tag(cls, tag: str | None) -> str | None:
        return tag if tag in (None, LATEST) else check_tag_name(str(tag))

    @field_validator("catalog")
    @classmethod
    def _catalog(cls, catalog: str | None) -> str | None:
        return catalog if catalog is None else refuse_password(catalog)

    @property
    def followers(self) -> list[str]:
        """The names that follow the current version: Iceberg's branch `main`, `latest`, the tag of the recipe."""
        return ["main", LATEST] if self.tag in (None, LATEST) else ["main", LATEST, str(self.tag)]

    def staging(self, trial: bool = False) -> StageConfig:
        """Return the part that the STAGE step is keyed by."""
        made = TrialStageConfig if trial else StageConfig
        return made(**{name: getattr(self, name) for name in StageConfig.model_fields})
