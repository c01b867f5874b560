"""The demo runs where of the tools for tests only tlslite-ng is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WITHOUT = """
import sys
for tool in ("pytest", "hypothesis", "pexpect", "xdist"):
    sys.modules[tool] = None
sys.path[:0] = ["scripts", "."]
import demo
"""


def test_the_demo_needs_no_pytest() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
