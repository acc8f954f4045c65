"""The command line, `evenkeel`. Each verb is imported when it is called, so that `--help` answers at once.

Exit codes: 0 published (or unchanged, or answered), 2 a bad recipe or bad usage, 3 a gate failed, 1 anything else.
"""

import atexit
import logging
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from evenkeel.infra.environment import set_defaults


class Place(NamedTuple):
    """The module of a verb, and what `evenkeel --help` says of it: the first sentence of its docstring."""

    module: str
    sentence: str


SECTIONS = {
    "Curate": {
        "run": Place("run", "Curate RECIPE here and now, and publish the version."),
        "plan": Place(
            "plan", "Say what a run of RECIPE would read, do and take, what cannot fit, and which gates cannot pass."
        ),
        "sweep": Place(
            "plan",
            "Show balance and coverage against size, or nearness to a target against balance; publishes nothing.",
        ),
        "schema": Place("recipe", "Print the JSON schema of a recipe."),
    },
    "Versions": {
        "versions": Place("versions", "List the published versions of RECIPE's dataset, newest first."),
        "show": Place("versions", "Show one version: dispositions, balance, gates, location."),
        "why": Place("why", "Say what became of the row ID, and why, in this and earlier versions."),
        "whence": Place("whence", "Say where the row ID came from, by which recipe, and which versions hold it."),
        "owns": Place("owns", "Say whether a model's answers prove that it was trained on the rows that RECIPE owns."),
        "quarantine": Place("quarantine", "List the shards and rows that were refused, with reasons and samples."),
        "evaluate": Place("evaluate", "Say what a version teaches a small model, beside random draws of its size."),
        "feedback": Place("mixture", "Record what training made of VERSION: metrics of it, its domains or rows."),
        "mix": Place("mixture", "Do the next step of RECIPE's mixture: publish trials, or end the loop."),
        "compare": Place("compare", "Say how far two sets of rows are apart, beside what sampling noise comes to."),
        "value": Place("compare", "Say which sources would bring a version nearest to the target."),
        "diff": Place("versions", "Say how version B differs from version A."),
        "tag": Place("versions", "Let NAME mean VERSION."),
        "untag": Place("versions", "Remove NAME; the version it meant stays, until a prune."),
        "rollback": Place("versions", "Make an earlier VERSION the current one and hold it there."),
        "hold": Place("versions", "Hold VERSION, or the current one, as current."),
        "release": Place("versions", "Release the version that is held: the next one published replaces it."),
        "history": Place("versions", "Say who did what to the versions of RECIPE's dataset, when and why."),
        "verify": Place("versions", "Read every file of a version and compare it with its checksum."),
        "prune": Place("versions", "Remove versions, files and step outputs that are no longer needed."),
        "restore": Place("versions", "Bring a pruned VERSION back from the trash, under its number."),
        "takedown": Place("versions", "Keep rows with these IDS out of all coming versions."),
        "export": Place("versions", "Write a version in the format of a training library, by that library."),
    },
    "Operate": {
        "deploy": Place("deploy", "Curate RECIPE on a server: by a schedule, on new files, or when asked."),
        "backfill": Place("deploy", "Curate RECIPE on a server once for each day, oldest first."),
        "curate": Place("server", "Submit RECIPE to a Prefect server, whose workers curate it."),
        "serve": Place("serve", "Start a Prefect server and a worker on this machine, and deploy everything."),
        "repair": Place("repair", "Rebuild a lost catalog from the folders of DESTINATION, or adopt copied ones."),
        "diagnose": Place("server", "Check everything that a run of RECIPE needs."),
    },
}
VERBS = {name: place for section in SECTIONS.values() for name, place in section.items()}
EARLIER_NAMES = {"promote": "tag"}
"""What verbs were called in the last release."""


class LazyGroup(click.Group):
    """A group that imports a verb only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the verbs in the order of `--help`."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a verb; None where there is none of that name."""
        name = EARLIER_NAMES.get(cmd_name, cmd_name)
        if name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"evenkeel.flows.cli.{VERBS[name].module}"), name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the verbs and options that begin so; no verb is imported for it."""
        verbs = [
            CompletionItem(name, help=each.sentence) for name, each in VERBS.items() if name.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs by section."""
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, place.sentence) for name, place in section.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="evenkeel")
@click.option("--debug", is_flag=True, help="Show the traceback of an error that nobody foresaw.")
def main(debug: bool) -> None:
    """Turn huge, lopsided pools of data into large, diverse, balanced training sets, as versions that can be trusted.

    RECIPE is the path of a YAML file or the name of a ready recipe.
    """
    set_defaults()
    if debug:
        os.environ["EVENKEEL_DEBUG"] = "1"


def command() -> None:
    """Call `main` and end the process with its exit code, as `evenkeel` does.

    When all is done and said the process ends there and then: to take its modules to pieces, as Python does otherwise,
    takes a second or two after a run.
    """
    code: object = 1

    def leave() -> None:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # whoever read it is gone
                stream.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))

    atexit.register(leave)  # the first that is registered is the last that is called
    try:
        main()
    except SystemExit as end:
        code = end.code
        raise


if __name__ == "__main__":
    command()
