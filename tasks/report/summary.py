"""A short summary of the card in Markdown, which the Prefect UI shows beside a run."""

import html
import re

import pandas as pd

from evenkeel.expectations.wording import printable
from evenkeel.tasks.report import findings
from evenkeel.tasks.report.facts import CardFacts, evenness
from evenkeel.tasks.report.sections import dispositions
from evenkeel.tasks.report.signals import HEADER, rows_of

MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~])")


def render_summary(facts: CardFacts) -> str:
    """Return the headline, the balance, rows by disposition and what the gates say, as Markdown."""
    number = "" if facts.blocked or not facts.config.version else f" v{facts.config.version}"
    lines = [f"# {text(facts.config.dataset + number)}: {text(findings.headline(facts))}", ""]
    lines += [text(findings.of_failures(facts)), ""] if facts.blocked else []
    lines += [text(hedge), ""] if (hedge := findings.of_hedge(facts)) else []
    lines += [f"{text(findings.of_dispositions(facts))}.", ""]
    lines += balance_table(facts.balance)
    if facts.signals:
        lines += ["", *signal_table(facts)]
    lines += [f"- {text(one.name)}: {text(one.words)}" for one in facts.followed]
    lines += [] if facts.config.tier is None else ["", f"Tier {text(facts.config.tier.sentence)}."]
    lines += ["", f"## {text(findings.of_gates(facts))}", ""]
    for one in [*facts.failed, *facts.warned]:
        lines.append(f"- {one.sign} **{text(one.sentence)}**: {text(one.reason)}")
        lines += [f"  - {text(item.name)}: {text(item.why)}" for item in one.offenders[:5]]
    lines += ["", "## Rows", "", "| disposition | rows | share | why |", "| --- | ---: | ---: | --- |"]
    for line in dispositions(facts).lines:
        lines.append(f"| {line.name} | {line.count} | {line.share} | {text(line.why)} |")
    return "\n".join(lines) + "\n"


def balance_table(balance: pd.DataFrame) -> list[str]:
    """Return evenness by scope and stage as the lines of a Markdown table."""
    table = evenness(balance)
    lines = [f"| evenness over | {' | '.join(table.columns)} |", f"| --- |{' ---: |' * len(table.columns)}"]
    for name, row in table.iterrows():
        cells = " | ".join("" if value != value else f"{value:.3f}" for value in row)
        lines.append(f"| {text(str(name))} | {cells} |")
    return lines


def signal_table(facts: CardFacts) -> list[str]:
    """Return the numbers of every signal and score, before → after, as the lines of a Markdown table."""
    lines = [f"| {' | '.join(HEADER)} |", f"| --- |{' ---: |' * (len(HEADER) - 1)}"]
    return lines + [f"| {' | '.join(text(cell) for cell in row)} |" for row in rows_of(facts.signals)]


def text(words: str) -> str:
    """Return words with Markdown and HTML escaped and control characters replaced."""
    line = " ".join(printable(words).split())
    return MARKUP.sub(r"\\\1", html.escape(line, quote=False))
