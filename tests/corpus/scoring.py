"""What counts as found, missed and invented, when the verdicts on a real log are compared with its labels.

Rows that differ only in the peer's name are added up before they are compared. A label may allow alternatives
(`alt_causes`, `alt_reasons`, `alt_outcomes`, `alt_services`); on success `none` and `dropped_after_tls` are one.
Only failures can be invented: a success that nobody listed is no mistake. Where the poster redacted the addresses
nothing is scored, and where the lines do not decide, nothing that is said of that peer and service is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

FAILURES = frozenset({"tls_failed", "server_tls_broken"})

Row = dict[str, Any]
Key = tuple[str | None, ...]


@dataclass
class Score:
    """How one case went. `complaints` is empty when nothing was missed or invented."""

    expected: int = 0
    found: int = 0
    reported: int = 0
    right: int = 0
    complaints: list[str] = field(default_factory=list)


def key_of(row: Row, reason: str | None) -> Key:
    """What makes two rows the same verdict: version and cipher of a success, the reason of everything else."""
    good = row["outcome"] == "tls_ok"
    return (
        row.get("peer_ip"),
        row["service"],
        row["outcome"],
        row["cause"],
        row.get("tls_version") if good else None,
        row.get("cipher") if good else None,
        None if good else reason,
    )


def alternatives(row: Row) -> Iterator[Key]:
    """Every key that satisfies an expected row, the labelled one first."""
    causes = [row["cause"], *row.get("alt_causes", [])]
    if row["outcome"] == "tls_ok":
        causes += [cause for cause in ("none", "dropped_after_tls") if cause not in causes]
    for outcome in [row["outcome"], *row.get("alt_outcomes", [])]:
        for service in [row["service"], *row.get("alt_services", [])]:
            for cause in causes:
                for reason in [row.get("openssl_reason"), *row.get("alt_reasons", [])]:
                    yield key_of({**row, "outcome": outcome, "service": service, "cause": cause}, reason)


def score(case: Row, verdicts: Iterable[Row]) -> Score:
    """Compare the verdicts on one case with its labels."""
    result = Score()
    left: Counter[Key] = Counter()
    for row in verdicts:
        left[key_of(row, row["reason"])] += row["count"]
    failures = {key for key in left if key[2] in FAILURES}
    _find(case, left, result)
    if not case["redacted"]:
        _look_for_invented(case, failures, left, result)
    return result


def _find(case: Row, left: Counter[Key], result: Score) -> None:
    rows = [row for row in case["EXPECTED"] if row["outcome"] != "unclear" and not case["redacted"]]
    for row in sorted(rows, key=lambda row: len(list(alternatives(row)))):  # the pickiest first
        result.expected += 1
        need = row["count"]
        for key in alternatives(row):
            take = min(need, left[key])
            left[key] -= take
            need -= take
        if need:
            what = (row["peer_ip"], row["service"], row["outcome"], row["cause"], row.get("openssl_reason"))
            result.complaints.append(f"missed {need} of {row['count']}: {what}")
        else:
            result.found += 1


def _look_for_invented(case: Row, failures: set[Key], left: Counter[Key], result: Score) -> None:
    explained = {key for row in case["EXPECTED"] for key in alternatives(row)}
    unclear = {(row.get("peer_ip"), row["service"]) for row in case["EXPECTED"] if row["outcome"] == "unclear"}
    for key in failures:
        if (key[0], key[1]) in unclear:
            continue
        result.reported += 1
        if key in explained and left[key] <= 0:
            result.right += 1
        else:
            result.complaints.append(f"reported, not expected ({left[key]}): {key}")
