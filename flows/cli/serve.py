"""The verb that starts a Prefect server on this machine."""

import click

from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.server import serve as serving

PORT = click.option("--port", default=4200, show_default=True, help="Where the server and its pages answer.")
S3_PORT = click.option("--s3-port", type=int, help="Also start an S3 server there.")
PAGES_HOST = click.option(
    "--pages-host", default="127.0.0.1", show_default=True, help="Where cards and other published pages are shown."
)
PAGES_PORT = click.option("--pages-port", default=4201, show_default=True, help="At which port.")
DOWN = click.option("--down", is_flag=True, help="End exactly what was started.")


@verb(PORT, S3_PORT, PAGES_HOST, PAGES_PORT, DOWN, recipe=False)
def serve(port: int, s3_port: int | None, pages_host: str, pages_port: int, down: bool) -> Answer[object]:
    """Start a Prefect server and a worker on this machine, and deploy everything.

    Called again, it starts what has ended, as it was. An S3 server has a bucket, evenkeel, and says its keys.
    """
    if down:
        ended = serving.down()
        return Answer(ended, f"ended: {', '.join(ended) or 'nothing was running'}")
    addresses = serving.up(
        port=port,
        s3_port=s3_port,
        pages_host=pages_host,
        pages_port=pages_port,
        tell=lambda line: click.echo(line, err=True),
    )
    return Answer(addresses, "\n".join(f"{name:<6} {address}" for name, address in addresses.items()))
