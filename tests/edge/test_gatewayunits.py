"""The gateway's units: what systemd is told when the door comes and when it goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailtls.edge.gatewayunits import USUAL_PORT, USUAL_POSTFIX, GatewayUnits
from mailtls.errors import PostfixError

START = "start mailtls-backend.socket mailtls-gateway.socket"
STOP = "stop mailtls-gateway.socket mailtls-gateway.service mailtls-backend.socket mailtls-backend.service"


class Systemd:
    """A systemd that writes down what it is asked, and fails for a word."""

    def __init__(self, place: Path, failing: str = "nothing") -> None:
        self.log, self.etc, lib, running = (place / name for name in ("asked", "etc", "lib", "running"))
        for each in (self.etc, lib, running):
            each.mkdir()
        (lib / "mailtls-gateway.socket").touch()
        command = place / "systemctl"
        command.write_text(
            f'#!/bin/sh\necho "$@" >>{self.log}\ncase "$*" in *"{failing}"*) echo "Unit is masked." >&2; exit 1;; esac\n'
        )
        command.chmod(0o755)
        self.units = GatewayUnits(running, (str(self.etc), str(lib)), str(command))

    @property
    def asked(self) -> list[str]:
        asked = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return asked

    def drop_ins(self) -> dict[str, str]:
        return {path.parent.name: path.read_text() for path in self.etc.glob("*/*")}


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    return Systemd(tmp_path)


def test_where_everything_is_usual_nothing_is_written(systemd: Systemd) -> None:
    systemd.units.bring_up(USUAL_PORT, USUAL_POSTFIX)
    assert systemd.asked == ["daemon-reload", "--quiet enable mailtls-backend.socket mailtls-gateway.socket", START]
    assert systemd.drop_ins() == {}


def test_another_port_and_another_queue_stand_beside_the_units_and_go_with_the_door(systemd: Systemd) -> None:
    systemd.units.bring_up(2525, Path("/srv/mx 1/public/mailtls-sslv3"))
    assert systemd.asked[-2:] == [STOP, START], "a socket takes no other port while it listens"
    assert systemd.drop_ins() == {
        "mailtls-gateway.socket.d": "[Socket]\nListenStream=\nListenStream=0.0.0.0:2525\nListenStream=[::]:2525\n",
        "mailtls-backend.service.d": (
            "[Service]\nExecStart=\nExecStart=/usr/lib/systemd/systemd-socket-proxyd --connections-max=512 "
            '"/srv/mx 1/public/mailtls-sslv3"\n'
        ),
    }
    systemd.units.bring_up(2525, Path("/srv/mx 1/public/mailtls-sslv3"))
    assert STOP not in systemd.asked, "nothing has moved"
    systemd.units.take_down()
    assert systemd.asked == ["--quiet disable mailtls-backend.socket mailtls-gateway.socket", STOP, "daemon-reload"]
    assert list(systemd.etc.iterdir()) == []


def test_what_systemd_says_is_passed_on(tmp_path: Path) -> None:
    systemd = Systemd(tmp_path, failing="start mailtls")
    with pytest.raises(PostfixError, match=r"systemctl start mailtls-backend\.socket .* failed: Unit is masked\."):
        systemd.units.bring_up(USUAL_PORT, USUAL_POSTFIX)


def test_a_path_that_systemd_would_misread_is_refused(systemd: Systemd) -> None:
    with pytest.raises(PostfixError, match="systemd cannot be told of such a path"):
        systemd.units.bring_up(USUAL_PORT, Path('/srv/"/public/mailtls-sslv3'))
    assert systemd.asked == []


def test_without_systemd_or_the_units_it_says_why_and_takes_nothing_down(tmp_path: Path) -> None:
    nowhere = GatewayUnits(tmp_path / "none")
    assert nowhere.why_not() == "no systemd runs here that would start mailtls-gateway"
    nowhere.take_down()
    assert GatewayUnits(tmp_path, (str(tmp_path),)).why_not() == (
        "systemd has no mailtls-gateway.socket; scripts/install puts it in place"
    )
