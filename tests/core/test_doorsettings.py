"""Where doors listen is a section of mailtls.toml."""

from __future__ import annotations

import pytest

from mailtls.core.doorsettings import DoorSettings
from mailtls.core.level import Level
from mailtls.core.operatorfile import parse_operator_file
from mailtls.errors import ConfigError


def test_each_door_has_a_port_and_the_file_may_change_it() -> None:
    assert DoorSettings().ports == {Level.LEGACY_RSA: 10125, Level.LEGACY: 10225, Level.SSLV3: 10325}
    assert parse_operator_file(DoorSettings, "legacy = 2525", "x").ports[Level.LEGACY] == 2525


@pytest.mark.parametrize("text", ["legacy = 0", "legacy = 70000", 'legacy = "10225"', "sslv3 = true", 'sslv3_served_by = "stunnel"'])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_operator_file(DoorSettings, text, "mailtls.toml")
