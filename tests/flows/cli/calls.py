"""Calls of the command line in this process."""

from click.testing import CliRunner

from evenkeel.flows.cli.main import main


def invoke(*arguments: object) -> tuple[int, str]:
    """Return the exit code of `evenkeel ARGUMENTS` and what it prints."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.output
