"""The machines of the system tests; skipped with the reason where none can be booted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.machine import SOURCE, Machine, booted
from tests.system.setup import follow
from tests.system.tree import NoTreeError, debian_tree, is_made, own_suite

BOOTED: set[Path] = set()
"""What was booted already: where that was possible once, it must be possible again."""
NEWEST = "trixie"
"""Has in packages all that mailtls runs on, and so can be booted on any other."""


@pytest.fixture(scope="session")
def tree() -> Path:
    """A Debian that can be booted, of this machine's own suite."""
    return _tree(None)


@pytest.fixture
def bare(tree: Path) -> Iterator[Machine]:
    """A machine of one's own with Postfix, on which nothing of docs/setup.md was done."""
    yield from _booted(tree)


@pytest.fixture(params=sorted({own_suite(), NEWEST}))
def any_bare(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """The same, of each suite; another one than this machine's own where it was made before, or with --all."""
    suite = str(request.param)
    if suite != own_suite() and not is_made(suite) and not os.environ.get("MAILTLS_TEST_ALL"):
        pytest.skip(f"{suite} is booted with scripts/test --all, which downloads it once")
    yield from _booted(_tree(suite))


@pytest.fixture(scope="session")
def installed(tree: Path) -> Iterator[Machine]:
    """A machine on which mailtls runs; Postfix was not told of it."""
    for machine in _booted(tree):
        follow(machine, "1.")
        yield machine


@pytest.fixture
def machine(installed: Machine) -> Machine:
    """The same machine for many tests, as it was: both are up, nobody has a waiver, nothing is wrong."""
    installed.script(
        f"install -m 644 {SOURCE}/policies/*.toml /etc/mailtls/policies/\n"
        "systemctl reset-failed mailtlsd mailtls-keeper 2>/dev/null || :\n"
        "systemctl start mailtls-tables mailtls-expire.timer mailtls-keeper mailtlsd"
    )
    installed.until(installed.is_in_touch, "mailtlsd in touch with the keeper")
    if sum(installed.control("status")["keeper"]["waivers"].values()):
        for waiver in installed.control("waivers")["waivers"]:
            installed.run("mailtlsctl", "revoke", waiver["network"])
    return installed


def _tree(suite: str | None) -> Path:
    try:
        return debian_tree(suite)
    except NoTreeError as error:
        pytest.skip(str(error))


def _booted(tree: Path) -> Iterator[Machine]:
    try:
        with booted(tree) as machine:
            BOOTED.add(tree)
            yield machine
    except NoTreeError as error:
        assert tree not in BOOTED, f"this machine could boot it a while ago: {error}"
        pytest.skip(str(error))
