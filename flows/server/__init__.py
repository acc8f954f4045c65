"""A Prefect server of ours: start it, register with it, submit to it, check it."""
