"""Make a bucket where there is none: `python -m evenkeel.infra.bucket NAME`, in the store of the environment."""

import sys
import time

from evenkeel.infra.errors import StorageError


def make_bucket(name: str, *, seconds: float = 60.0, **options: str) -> bool:
    """Make the bucket where there is none and return whether it was made; a store that is starting is waited for.

    options: what the client takes besides or instead of the environment, such as `endpoint_url` and
    `aws_access_key_id`. Raises StorageError where the store makes none.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
    from botocore.session import get_session  # type: ignore[import-untyped]

    client = get_session().create_client("s3", **options)
    deadline = time.monotonic() + seconds
    while True:
        try:
            if name in [one["Name"] for one in client.list_buckets().get("Buckets", [])]:
                return False
            client.create_bucket(Bucket=name)
            return True
        except (BotoCoreError, ClientError) as error:  # it answers before all of its parts do
            if time.monotonic() > deadline:
                raise StorageError("the store makes no bucket", found=str(error), where=name) from error
            time.sleep(0.2)


if __name__ == "__main__":
    print(f"bucket {sys.argv[1]}: {'made' if make_bucket(sys.argv[1]) else 'there already'}")
