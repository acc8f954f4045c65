"""Which folder is which package: `flows/` is `evenkeel.flows`, and so on. Everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

ROOMS = ("flows", "tasks", "expectations", "infra")

inside = find_packages(include=[pattern for room in ROOMS for pattern in (room, f"{room}.*")])
setup(
    packages=["evenkeel", *(f"evenkeel.{package}" for package in inside)],
    package_dir={"evenkeel": "evenkeel"} | {f"evenkeel.{room}": room for room in ROOMS},
)
