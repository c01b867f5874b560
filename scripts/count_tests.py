"""Count what pytest wrote into a JUnit file: passed, failed, not run, known faults (xfail), and why some were not run.

Usage: count_tests.py FILE STATUS; prints the five, tab-separated. STATUS is pytest's exit status: one that says
failure is never counted as none.
"""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def count(report: Path, status: int) -> tuple[int, int, int, int, str]:
    """Return passed, failed, not run, known faults, and the distinct reasons for not running in one line."""
    if not report.exists():
        return 0, 1, 0, 0, ""
    cases = list(ET.parse(report).getroot().iter("testcase"))
    left = [skip for case in cases for skip in case.iter("skipped")]
    known = sum(1 for skip in left if skip.get("type") == "pytest.xfail")
    reasons = {skip.get("message", "") for skip in left if skip.get("type") != "pytest.xfail"}
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    passed = len(cases) - failed - len(left)
    if status and not failed:
        failed = 1  # interrupted, or an internal error
    return passed, failed, len(left) - known, known, "; ".join(sorted(reasons))


if __name__ == "__main__":
    print(*count(Path(sys.argv[1]), int(sys.argv[2])), sep="\t")
