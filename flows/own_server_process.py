"""The process of a run's own Prefect server: `python -m evenkeel.flows.own_server_process PORT`.

It ends at once where Prefect's settings name a server already, or forbid one of our own: who started it reads them too.
"""

import sys

from evenkeel.infra.imports import without_collector


def main(port: int) -> None:
    """Serve Prefect's API on a port of this machine until a signal ends it."""
    with without_collector():
        from evenkeel.flows.own_server import wanted

        if not wanted():
            return
        import uvicorn
        from prefect.server.api.server import create_app
    with without_collector():  # anew: what looks for garbage here passes by what was imported
        app = create_app()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    main(int(sys.argv[1]))
