"""The machines of the system tests; skipped with the reason where none can be booted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.machine import PROGRAMS, SOURCE, Machine, booted
from tests.system.setup import follow
from tests.system.tree import NoTreeError, debian_tree

BOOTED: set[Path] = set()
"""What was booted already: where that was possible once, it must be possible again."""


@pytest.fixture(scope="session")
def tree() -> Path:
    """A Debian that can be booted."""
    try:
        return debian_tree()
    except NoTreeError as error:
        pytest.skip(str(error))


@pytest.fixture
def bare(tree: Path) -> Iterator[Machine]:
    """A machine of one's own with Postfix and mailtls' programs; nothing else of docs/setup.md was done."""
    yield from _booted(tree)


@pytest.fixture(scope="session")
def installed(tree: Path) -> Iterator[Machine]:
    """A machine on which mailtls runs; Postfix was not told of it."""
    for machine in _booted(tree):
        follow(machine, "2.", "3.", "4.")
        yield machine


@pytest.fixture
def machine(installed: Machine) -> Machine:
    """The same machine for many tests, as it was: both are up, nobody has a waiver, nothing is wrong."""
    installed.script(
        f"install -m 644 {SOURCE}/policies/*.toml /etc/mailtls/policies/\n"
        "systemctl reset-failed mailtlsd mailtls-keeper 2>/dev/null || :\n"
        "systemctl start mailtls-tables mailtls-keeper mailtls-expire.timer mailtlsd"
    )
    installed.until(installed.is_in_touch, "mailtlsd in touch with the keeper")
    if sum(installed.control("status")["keeper"]["waivers"].values()):
        for waiver in installed.control("waivers")["waivers"]:
            installed.run("mailtlsctl", "revoke", waiver["network"])
    return installed


def _booted(tree: Path) -> Iterator[Machine]:
    try:
        with booted(tree) as machine:
            BOOTED.add(tree)
            machine.run("ln", "-s", *(f"{SOURCE}/bin/{name}" for name in PROGRAMS), "/usr/local/bin/")
            yield machine
    except NoTreeError as error:
        assert not BOOTED, f"this machine could boot another a while ago: {error}"
        pytest.skip(str(error))
