"""What setup works with."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

from mailtls.ctl.applying import OBSERVER_ENABLED

UNIT = Path(__file__).parents[2] / "systemd" / "mailtls-observer.service"


def test_the_observer_is_known_to_be_enabled_by_the_link_that_systemctl_makes() -> None:
    """`systemctl enable` makes it in the directory of the unit that wants this one (systemd.unit(5), WantedBy=)."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(UNIT)
    assert f"/etc/systemd/system/{unit['Install']['WantedBy']}.wants/{UNIT.name}" == OBSERVER_ENABLED
