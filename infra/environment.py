"""Set environment variables that libraries read when they are imported. Call it before importing Prefect or Dask."""

import os

DEFAULTS = {
    # No telemetry, neither from a server started here nor from clients.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    # A temporary server may take minutes to start on a busy machine, before its modules are compiled.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
    # Dask says every worker that comes and goes.
    "DASK_LOGGING__DISTRIBUTED": "warning",
    # Arrow writes a line for every table that came over the wire and is grouped.
    "ACERO_ALIGNMENT_HANDLING": "reallocate",
    # Older S3-compatible stores refuse the newer optional checksums.
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}


def set_defaults() -> None:
    """Set every default that the environment does not set already."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
