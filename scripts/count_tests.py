"""Count what pytest wrote into a JUnit file: passed, failed, skipped, and why, tab-separated.

Usage: count_tests.py FILE STATUS; STATUS is pytest's exit status: one that says failure is never counted as none.
"""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def count(report: Path, status: int) -> tuple[int, int, int, str]:
    """Return passed, failed, skipped, and the distinct reasons for skipping in one line."""
    if not report.exists():
        return 0, 1, 0, ""
    cases = list(ET.parse(report).getroot().iter("testcase"))
    skipped = [skip.get("message", "") for case in cases for skip in case.iter("skipped")]
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    passed = len(cases) - failed - len(skipped)
    if status and not failed:
        failed = 1  # interrupted, or an internal error
    return passed, failed, len(skipped), "; ".join(sorted(set(skipped)))


if __name__ == "__main__":
    print(*count(Path(sys.argv[1]), int(sys.argv[2])), sep="\t")
