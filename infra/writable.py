"""Tell whether a store takes files, and what time it is there, without leaving a file."""

import secrets
import tempfile
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from fsspec import AbstractFileSystem

from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError


def require_writable(folder: str) -> None:
    """Return where files could be written below `folder`; raise StorageError, or FileNotFoundError without a bucket.

    Nothing is left there, and no folder is made. On a local disk a file without a name is written in the nearest folder
    that exists. On S3 an upload is begun and given up, which takes the permission to write and shows nobody an object.
    Any other store gets a small file that is removed at once.
    """
    fs, path = storage.filesystem(folder)
    with storage.store_errors("write", folder):
        if storage.is_local(folder):
            _write_nameless(Path(path))
        elif is_s3(fs):
            _begin_upload(fs, path)
        else:
            probe = storage.join(folder, f".probe-{secrets.token_hex(4)}")
            try:
                storage.write_bytes(probe, b"evenkeel\n")
            finally:
                storage.remove(probe)


def is_s3(fs: AbstractFileSystem) -> bool:
    """Tell whether a file system is S3, or speaks like it."""
    return "s3" in fs.protocol


def s3_time(fs: AbstractFileSystem, path: str) -> datetime:
    """Return the time by the clock of an S3 store, in whole seconds, as its answers carry it."""
    bucket, _, _ = fs.split_path(path)
    with storage.store_errors("reach", path):
        answer = fs.call_s3("head_bucket", Bucket=bucket)
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


def _write_nameless(folder: Path) -> None:
    while not folder.exists():
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"evenkeel\n")
        file.flush()
        file.seek(0)
        if file.read() != b"evenkeel\n":
            raise StorageError("the store returned other bytes than were written", where=str(folder))


def _begin_upload(fs: AbstractFileSystem, path: str) -> None:
    bucket, key, _ = fs.split_path(storage.join(path, f".probe-{secrets.token_hex(4)}"))
    upload = fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key)["UploadId"]
    with suppress(PermissionError):  # a key that may write and may not give up: the store itself forgets the upload
        fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload)
