"""Which folder is which package: `flows/` is `evenkeel.flows`, and so on. Everything else stands in pyproject.toml."""

from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOMS = ("flows", "tasks", "expectations", "infra")


class WithDeployments(build_py):
    """Puts prefect.yaml into the package, so that `evenkeel serve` works from a wheel."""

    def _deployments(self) -> str:
        return str(Path(self.build_lib) / "evenkeel" / "prefect.yaml")

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_file("prefect.yaml", self._deployments())

    def get_outputs(self, *arguments: Any, **named: Any) -> list[str]:
        return [*super().get_outputs(*arguments, **named), self._deployments()]


inside = find_packages(include=[pattern for room in ROOMS for pattern in (room, f"{room}.*")])
setup(
    packages=["evenkeel", *(f"evenkeel.{package}" for package in inside)],
    package_dir={"evenkeel": "evenkeel"} | {f"evenkeel.{room}": room for room in ROOMS},
    cmdclass={"build_py": WithDeployments},
)
