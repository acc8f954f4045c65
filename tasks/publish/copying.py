"""Copy a version's files, so that no two versions share one."""

import random

from evenkeel.infra import storage
from evenkeel.tasks.publish import audit
from evenkeel.tasks.publish.layout import copy_hashed
from evenkeel.tasks.publish.manifest import Staged


def copy_run(staged: Staged) -> Staged:
    """Return staged files copied to a folder of their own. Raises StagedFilesMissing where some are gone."""
    name = f"{staged.run}-{random.getrandbits(32):08x}"
    folder = storage.join(staged.folder.rpartition("/")[0], name)
    for entry in staged.files:
        try:
            copy_hashed(storage.join(staged.folder, entry.path), storage.join(folder, entry.path))
        except FileNotFoundError:
            raise audit.missing(storage.join(staged.folder, entry.path), "not there") from None
    return staged.model_copy(update={"run": name, "folder": folder})
