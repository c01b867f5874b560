"""mailtls-apply on a Postfix as Debian configures it, and on two under postmulti, in namespaces of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def in_namespaces(module: str, *kinds: str) -> None:
    """Run a module that prints `done` in new namespaces of these kinds."""
    if subprocess.run(["unshare", *kinds, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"no namespace can be made here: unshare {' '.join(kinds)}")
    words = ["unshare", *kinds, sys.executable, "-m", f"tests.postfix.{module}"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ran.stdout.endswith("done\n"), ran.stderr


def test_all_addresses_ipv6_chroot_and_a_postfix_that_does_not_run() -> None:
    in_namespaces("debian_site", "--net")


def test_two_instances_under_postmulti() -> None:
    in_namespaces("multi_site", "--net", "--mount")
