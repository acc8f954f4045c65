"""docs/BALANCE.md and its pictures, from what `bench_balance.py` measured."""

from pathlib import Path
from typing import Any

from evenkeel.tasks.report.sweeps import draw_sweep

DOCS = Path(__file__).parents[2] / "docs"
BASELINES = ["balanced", "random", "flat", "top-down"]
SUMMARY = """\
## In ten lines

1. Label KL is no worse than that of a random draw on all nine named pools, and on 18 of 20 pools drawn by chance.
2. On the other two, averaging with random where the halves of the data disagree brings it below random too
   (0.241 against 0.255, 0.242 against 0.341), at the price of about half of the gain on three other pools.
3. Where components lie apart it takes nearly all of the imbalance away: 1.744 to 0.068, 1.184 to 0.006, 1.606 to 0.051.
4. On real labels it takes less: digits 0.320 to 0.087, docstrings by package 1.101 to 0.997, Debian's sections
   0.749 to 0.727.
5. A linear probe gains 37 to 80 points on the Gaussian pools and 6 on digits; k-NN gains 12 to 33, and 4.
6. On docstrings and Debian models gain nothing: -0.1 and -1.3 points of the probe, +0.9 and +0.2 of k-NN.
7. It loses to `flat` and to `grid` on concentric rings: it makes a set even over space, and outer rings are longer.
8. It gains little where labels are no neighbourhoods, or where components of equal rows do not hold equal space.
9. A level with a hub can stay less even than a random draw, as on `isotropic`; the facts of the step say so (`uneven`).
10. Not measured here: sets of a statistics archive (Letter, Satellite, Shuttle, Vowel), intervals other than a
    deviation over seeds, and what density, radius and the share of the target each contribute.
"""
READING = """\
Where the correlation is low:

- `concentric`: the measure makes a set even over the *space* that the data spans. The outer of eight rings is eight
  times as long as the inner one. A set that is perfectly even over length gives ring i the share i/36, whose label
  KL is 0.141; the choice comes close to that. To do better, a rule must know that a ring counts as one thing,
  however long.
- `digits`: the measure orders the middle of the field otherwise than the labels do; its choice still goes most of the
  way to the best candidate.
- `debian`: sections are people's filing, not neighbourhoods of meaning (a library, its documentation and its
  bindings lie together and are filed apart). All strategies end close together, and differences of models below one
  point are within one standard deviation.
"""
UNSEEN = """\
Never worse than random is a promise about the measure (random is one of the candidates), not about every label.
The measure looks for evenness over space; in both losses, 4 and 5 dimensions with few components that overlap, equal
components do not hold equal space, and the correlation with labels is at or below zero. No scale there has halves that
agree by more than 0.51 (adjusted Rand index), so a low agreement in the facts of the step is a reason to look.
"""
LABELS = {"kl": "label KL", "coverage": "covered", "worst": "smallest", "probe": "linear probe", "knn": "k-NN"}


def write_page(results: list[dict[str, Any]], unseen: list[dict[str, Any]], seeds: tuple[int, int]) -> None:
    """Write the page and its pictures from the named pools and the random ones."""
    (DOCS / "BALANCE.md").write_text(page(results, unseen, seeds))
    picture(results, DOCS / "balance.svg")
    for result in results:
        if result["sweep"]:
            draw_sweep(result["sweep"], DOCS / "sweep.svg")


def page(results: list[dict[str, Any]], unseen: list[dict[str, Any]], seeds: tuple[int, int]) -> str:
    """Return docs/BALANCE.md."""
    lines = [
        "# Balance, measured",
        "",
        "How evenly does each strategy spread over labels that it never saw? Do models trained on them do better?",
        f"Made by `make bench-balance`, {seeds[0]} seeds, default clustering. Losses are shown too.",
        "",
        SUMMARY,
        "![label KL by strategy](balance.svg)",
        "",
        "*label KL*: nats between the labels of the selected rows and the uniform distribution, 0 is perfect.",
        "*covered*: labels with at least one row. *smallest*: rows of the rarest label. *linear probe*, *k-NN*:",
        "accuracy, averaged over labels, of a ridge classifier and of 5 nearest neighbours trained on the selected",
        "rows and tested on a balanced held-out set. Mean over seeds; ± is one standard deviation.",
        "",
        "## In one table",
        "",
        "Label KL; the last two columns are what models gain in accuracy over a random sample of the same size.",
        "",
        "| pool | all rows | random | top-down | flat | **balanced** | linear probe | k-NN |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        given = result["strategies"]
        kl = {name: given[name]["kl"][0] for name in ("random", "top-down", "flat", "balanced")}
        gain = [100 * (given["balanced"][key][0] - given["random"][key][0]) for key in ("probe", "knn")]
        cells = [f"{kl[name]:.3f}" for name in ("random", "top-down", "flat")]
        lines.append(
            f"| {result['pool']} | {result['before']:.3f} | {' | '.join(cells)} | **{kl['balanced']:.3f}** | "
            f"{gain[0]:+.1f} points | {gain[1]:+.1f} points |"
        )
    lines += ["", *verdict(results), "", *justification(results)]
    if unseen:
        lines += ["", *generalisation(unseen, seeds[1])]
    for result in results:
        about = f"{result['about']}. Target {result['target']:,} of {result['rows']:,} rows."
        lines += ["", f"## {result['pool']}", "", about, ""]
        lines += ["| strategy | " + " | ".join(LABELS.values()) + " |", "| --- |" + " --- |" * len(LABELS)]
        by_kl = sorted(result["strategies"].items(), key=lambda item: item[1]["kl"][0])
        lines += [row_of(name, keys) for name, keys in by_kl]
        lines += ["", f"balanced took `{short(result['chosen'])}`: {result['why']}."]
        if result["sweep"]:
            lines += ["", "![balance and coverage against size](sweep.svg)"]
    return "\n".join(lines) + "\n"


def row_of(name: str, keys: dict[str, Any]) -> str:
    """Return the row of a strategy in the table of a pool."""
    cells = [
        f"{keys['kl'][0]:.3f} ± {keys['kl'][1]:.3f}",
        f"{keys['coverage'][0]:.1%}",
        f"{keys['worst'][0]:.1f}",
        f"{keys['probe'][0]:.3f} ± {keys['probe'][1]:.3f}",
        f"{keys['knn'][0]:.3f} ± {keys['knn'][1]:.3f}",
    ]
    return f"| {'**balanced**' if name == 'balanced' else name} | " + " | ".join(cells) + " |"


def rewrite_rows(results: list[dict[str, Any]]) -> None:
    """Put the strategies that were measured again into the tables of their pools, and leave the page as it is else."""
    page = (DOCS / "BALANCE.md").read_text()
    for result in results:
        before, mark, section = page.partition(f"\n## {result['pool']}\n")
        head, rule, rest = section.partition("| --- | --- | --- | --- | --- | --- |\n")
        rows, gap, after = rest.partition("\n\n")
        measured = result["strategies"]
        kept = [row for row in rows.split("\n") if row.split("|")[1].strip(" *") not in measured]
        kept += [row_of(name, keys) for name, keys in measured.items()]
        kept.sort(key=lambda row: float(row.split("|")[2].split("±")[0]))
        page = before + mark + head + rule + "\n".join(kept) + gap + after
    (DOCS / "BALANCE.md").write_text(page)


def verdict(results: list[dict[str, Any]]) -> list[str]:
    """Return what was won and what was lost, pool by pool."""
    return ["## Won and lost", "", *tally(results)]


def tally(results: list[dict[str, Any]]) -> list[str]:
    """Return one line per measure and rival: on how many pools the default is no worse, and where it is."""
    lines = []
    for key, label, lower in (("kl", "label KL", True), ("probe", "the linear probe", False), ("knn", "k-NN", False)):
        for rival in ("random", "top-down", "flat"):
            lost = []
            for result in results:
                ours, theirs = (result["strategies"][name][key][0] for name in ("balanced", rival))
                if (ours > theirs) if lower else (ours < theirs):
                    lost.append(f"{result['pool']} ({ours:.3f} against {theirs:.3f})")
            worse = f"; worse on {', '.join(lost)}" if lost else ""
            lines.append(f"- {label}: no worse than {rival} on {len(results) - len(lost)} of {len(results)}{worse}.")
    return lines


def justification(results: list[dict[str, Any]]) -> list[str]:
    """Return how far the label-free measure agrees with the hidden labels."""
    lines = [
        "## Does the label-free measure agree with the labels?",
        "",
        "`balanced` ranks about 45 candidate rules without labels. The rank correlation (Spearman) of that measure",
        "with the label KL that the same candidates reach; the choice against the best of them; and *gained*: how much",
        "of the way from random to the best candidate it goes, above 100% where a blend beats all its parts.",
        "",
        "| pool | rank correlation | chosen rule | its label KL | the best candidate's | gained |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        chosen, random = (result["strategies"][name]["kl"][0] for name in ("balanced", "random"))
        lines.append(
            f"| {result['pool']} | {result['rho']:.2f} | `{short(result['chosen'])}` | {chosen:.3f} | "
            f"{result['best']:.3f} | {(random - chosen) / (random - result['best']):.0%} |"
        )
    return [*lines, "", READING.rstrip()]


def short(rule: str) -> str:
    """Return a blend with each of its parts named once."""
    parts = rule.split("+")
    counts = {part: parts.count(part) for part in parts}
    return " + ".join(f"{count} x {part}" if count > 1 and len(counts) > 1 else part for part, count in counts.items())


def generalisation(results: list[dict[str, Any]], seeds: int) -> list[str]:
    """Return how the default fares on random pools that no rule was made for."""
    lines = [
        "## On pools that no rule was made for",
        "",
        f"{len(results)} pools drawn by chance (`tests/bench/fresh_pools.py`): shape, rows, dimensions, components, "
        "tail, overlap and",
        f"target all follow from a seed. Looked at once, when the code was done. {seeds} seeds of sampling.",
        "",
        "| pool | | kept | random | top-down | flat | **balanced** | linear probe | k-NN | rank correlation |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        given = result["strategies"]
        kl = {name: given[name]["kl"][0] for name in BASELINES}
        gain = [100 * (given["balanced"][key][0] - given["random"][key][0]) for key in ("probe", "knn")]
        cells = [f"{kl[name]:.3f}" for name in ("random", "top-down", "flat")]
        lines.append(
            f"| {result['pool']} | {result['about']} | {result['target'] / result['rows']:.0%} | {' | '.join(cells)} | "
            f"**{kl['balanced']:.3f}** | {gain[0]:+.1f} points | {gain[1]:+.1f} points | {result['rho']:.2f} |"
        )
    return [*lines, "", *tally(results), "", UNSEEN.rstrip()]


def picture(results: list[dict[str, Any]], path: Path) -> None:
    """Draw the label KL of every strategy on every pool, relative to random."""
    import altair

    shown = {"balanced": "#1769aa", "flat": "#2a9d8f", "random": "#8a8f98", "top-down": "#d1495b"}
    bars = [
        {"pool": result["pool"], "strategy": name, "kl": result["strategies"][name]["kl"][0]}
        for result in results
        for name in shown
    ]
    chart = (
        altair.Chart(altair.Data(values=bars), width=70, height=200)
        .mark_bar()
        .encode(
            x=altair.X("strategy:N", sort=list(shown), title=None, axis=altair.Axis(labels=False, ticks=False)),
            y=altair.Y("kl:Q", title="label KL (0 = perfectly even)"),
            color=altair.Color(
                "strategy:N", scale=altair.Scale(domain=list(shown), range=list(shown.values())), title=None
            ),
            column=altair.Column("pool:N", sort=[result["pool"] for result in results], title=None),
        )
    )
    chart.save(str(path), format="svg")
