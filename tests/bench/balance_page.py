"""docs/BALANCE.md and its pictures, from what `bench_balance.py` measured."""

from pathlib import Path
from typing import Any

from evenkeel.tasks.report.sweeps import draw_sweep
from tests.bench.balance_texts import PARTS_ABOUT, PARTS_READING, READING, SHARES_READING, SUMMARY, UNSEEN

DOCS = Path(__file__).parents[2] / "docs"
BASELINES = ["balanced", "random", "flat", "top-down"]
PARTS = ("density", "radius", "density and radius", "tree", "blending", "levels", "averaging")
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
        "rows and tested on a balanced held-out set. Mean over seeds; ± is one standard deviation. An interval of a",
        "gain holds 95 % of 1,000 bootstraps over seeds and, within each label, over held-out rows.",
        "",
        "## In one table",
        "",
        "Label KL; the last two columns are what models gain in accuracy over a random sample of the same size, in",
        "points.",
        "",
        "| pool | all rows | random | top-down | flat | **balanced** | linear probe | k-NN |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        kl = {name: result["strategies"][name]["kl"][0] for name in ("random", "top-down", "flat", "balanced")}
        cells = [f"{kl[name]:.3f}" for name in ("random", "top-down", "flat")]
        lines.append(
            f"| {result['pool']} | {result['before']:.3f} | {' | '.join(cells)} | **{kl['balanced']:.3f}** | "
            f"{gain_in_words(result['gains']['probe'])} | {gain_in_words(result['gains']['knn'])} |"
        )
    lines += ["", *verdict(results), "", *parts(results), "", *shares(results), "", *justification(results)]
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


def gain_in_words(gain: tuple[float, float, float]) -> str:
    """Return a gain in points of accuracy, and where its interval ends."""
    return f"{100 * gain[0]:+.1f} ({100 * gain[1]:+.1f} to {100 * gain[2]:+.1f})"


def parts(results: list[dict[str, Any]]) -> list[str]:
    """Return label KL with one part of the strategy after another left out."""
    measured = [result for result in results if result["ablations"]]
    lines = [
        "## What each part contributes",
        "",
        *PARTS_ABOUT.split("\n"),
        "| pool | agreement | of a cloud | random | all | " + " | ".join(f"no {name}" for name in PARTS) + " |",
        "| --- |" + " --- |" * (4 + len(PARTS)),
    ]
    for result in measured:
        kl = result["ablations"]
        cells = [f"{kl[name]:.3f}" for name in ("random", "all", *PARTS)]
        beside = "" if result["reference"] is None else f"{result['reference']:.2f}"
        lines.append(f"| {result['pool']} | {result['agreement']:.2f} | {beside} | {' | '.join(cells)} |")
    return [*lines, "", PARTS_READING.rstrip()]


def shares(results: list[dict[str, Any]]) -> list[str]:
    """Return label KL and gains at other sizes of the target."""
    lines = [
        "## By the size of the target",
        "",
        "Label KL of `balanced` and of random rows, and what models gain, in points (95 %), 3 seeds.",
        "",
        "| pool | target | random | **balanced** | linear probe | k-NN |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        for share, found in result["shares"].items():
            gains = [gain_in_words(found[key]) for key in ("probe", "knn")]
            lines.append(
                f"| {result['pool']} | {share} | {found['kl'][1]:.3f} | **{found['kl'][0]:.3f}** | "
                f"{' | '.join(gains)} |"
            )
    return [*lines, "", SHARES_READING.rstrip()]


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
        "target all follow from a seed. The rules were made without them, the limits below with them in view.",
        f"{seeds} seeds of sampling.",
        "",
        "| pool | | kept | random | top-down | flat | **balanced** | linear probe | k-NN | agreement | correlation |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        given = result["strategies"]
        kl = {name: given[name]["kl"][0] for name in BASELINES}
        gain = [gain_in_words(result["gains"][key]) for key in ("probe", "knn")]
        cells = [f"{kl[name]:.3f}" for name in ("random", "top-down", "flat")]
        lines.append(
            f"| {result['pool']} | {result['about']} | {result['target'] / result['rows']:.0%} | {' | '.join(cells)} | "
            f"**{kl['balanced']:.3f}** | {gain[0]} | {gain[1]} | {result['agreement']:.2f} | {result['rho']:.2f} |"
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
