"""mailtls-apply on a Postfix as Debian configures it, in a network of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_all_addresses_ipv6_chroot_and_a_postfix_that_does_not_run() -> None:
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    words = ["unshare", "--net", sys.executable, "-m", "tests.postfix.debian_site"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ran.stdout.endswith("done\n"), ran.stderr
