"""A Prefect server of ours: start it, register with it, submit to it, check it."""

from evenkeel.infra.environment import set_defaults

set_defaults()  # before any module here imports Prefect, which reads them then
