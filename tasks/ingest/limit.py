"""Stop a run that refuses too much of its source, or all of it, and say why: reasons, files and examples."""

from collections import Counter
from collections.abc import Mapping, Sequence

from evenkeel.infra import storage
from evenkeel.infra.errors import NothingLeftError, QuarantineLimitError
from evenkeel.infra.quantities import count
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.ingest.config import IngestRequest
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.plan import ColumnPlan
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.report import ShardReport

_MOST = 5


def enough_room_for_errors(
    request: IngestRequest,
    shards: Sequence[ListedShard],
    reports: Sequence[ShardReport],
    out: StepFolder,
    plan: ColumnPlan,
    duplicates: int = 0,
) -> None:
    """Raise QuarantineLimitError where the share refused is over the limit; unreadable shards count by their bytes."""
    known = [report for report in reports if report.rows]
    read = sum(report.rows for report in reports)
    row_bytes = sum(report.bytes for report in known) / read if read else 1.0
    unknown = sum(report.bytes / row_bytes for report in reports if report.reason and not report.rows)
    reasons = Counter({Reason.DUPLICATE_ID.label: duplicates} if duplicates else {})
    for report in reports:
        reasons.update(report.reasons)
    share = (sum(reasons.values()) + unknown) / max(read + unknown, 1.0)
    if share <= request.source.max_quarantined:
        return
    refused = sum(bool(report.reason) for report in reports)
    remedy = "`evenkeel quarantine RECIPE` lists all; correct the source, or raise source.max_quarantined"
    if Reason.WRONG_DIMENSION.label in reasons and plan.kept_vector is not None:
        remedy = f"{plan.about_guess}; or {remedy}"
    raise QuarantineLimitError(
        "too much of the source was refused",
        expected=f"at most {request.source.max_quarantined:.2%} of the rows",
        found=f"{share:.2%} of {read:,} rows" + (f" and {refused:,} shards" if refused else ""),
        where="; ".join(_why(shards, reports, out, reasons)),
        remedy=remedy,
    )


def nothing_left(
    request: IngestRequest,
    shards: Sequence[ListedShard],
    reports: Sequence[ShardReport],
    out: StepFolder,
    reasons: Mapping[str, int],
) -> NothingLeftError:
    """Return the error of a source of which no row is left, with the reasons, files and examples."""
    read, refused = sum(report.rows for report in reports), sum(bool(report.reason) for report in reports)
    why = _why(shards, reports, out, Counter(reasons))
    return NothingLeftError(
        "the source holds no usable row",
        found=f"{len(shards):,} shards with {read:,} rows, {sum(reasons.values()):,} refused"
        + (f"; {count(refused, 'shard')} refused" if refused else ""),
        where="; ".join(why) or str(request.source.uri),
        remedy=f"`evenkeel quarantine RECIPE` lists them; {out.path('quarantine')} names every row"
        if why
        else "check source.uri: its shards are empty",
    )


def _why(
    shards: Sequence[ListedShard], reports: Sequence[ShardReport], out: StepFolder, reasons: Counter[str]
) -> list[str]:
    """Return the commonest reasons with an example each, and the first shards that were refused."""
    uris = {shard.number: shard.uri for shard in shards}
    examples = _examples(uris, reports, out)
    lines = [
        f"{times:,} rows: {reason}" + (f", {examples[reason]}" if reason in examples else "")
        for reason, times in reasons.most_common(_MOST)
    ]
    refused = [report for report in reports if report.reason]
    lines += [f"{uris[report.number]}: {report.reason}, {report.detail}" for report in refused[:_MOST]]
    if len(refused) > _MOST:
        lines.append(f"and {len(refused) - _MOST:,} more shards")
    return lines


def _examples(uris: Mapping[int, str], reports: Sequence[ShardReport], out: StepFolder) -> dict[str, str]:
    """Return one refused row for each reason: its file, row and detail."""
    found: dict[str, str] = {}
    for report in reports:
        if report.reason or not set(report.reasons) - set(found):
            continue
        for name in report.refusals:
            table = read_table(storage.join(out.uri, "quarantine", name), ["shard", "row", "reason", "detail"])
            for row in table.slice(0, 1 << 12).to_pylist():
                detail = f": {row['detail']}" if row["detail"] else ""
                found.setdefault(row["reason"], f"as in row {row['row']:,} of {uris[row['shard']]}{detail}"[:400])
    return found
