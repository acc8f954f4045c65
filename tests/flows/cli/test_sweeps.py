"""A sweep says of every rule what it is, also of one that is the mean of several."""

import pytest
from rich.console import Console

from evenkeel.flows.cli.plan import show_sweep
from evenkeel.tasks.sample.sweep import SweepRow


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("flat", "flat (chosen)"),
        ("flat+flat", "flat (chosen)"),
        ("cut-2+flat+flat+random+random+random", "50% random, 33% flat, 17% cut-2 (chosen)"),
        ("a+b+c+c+d+e+random+random+random+random", "40% random, 20% c, 10% a, 3 more (chosen)"),
    ],
)
def test_a_mean_of_several_rules_is_told_by_their_shares(name: str, said: str) -> None:
    row = SweepRow(
        target="5%", rows=50, rule="chosen", name=name, imbalance=0.1, kl_uniform=0.1, entropy=0.9, coverage=1.0
    )
    console = Console(width=160)
    with console.capture() as shown:
        show_sweep(console, [row])
    assert said in shown.get()
