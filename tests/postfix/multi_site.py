"""Two instances of Postfix under postmulti(1). Run in a mount and a network namespace of its own.

    unshare --mount --net python -m tests.postfix.multi_site

postmulti insists that the first instance is in /etc/postfix, so that directory is replaced, in this namespace only.
Prints `done` at the end; anything that is not as it should be is an AssertionError.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from mailtls.core.level import Level
from mailtls.edge.doorvisit import visit_door
from mailtls.errors import RefusedError
from mailtls.service.applychange import carry_out, now
from mailtls.service.applyplan import Site
from mailtls.service.applyreload import reload
from mailtls.service.applysetup import setup, unsetup
from mailtls.service.applysurvey import survey

from .applying import age, change_of, mail_flowing, room_of, site_of
from .instance import PrivatePostfix
from .test_apply_doors import room_with_doors, view_of

FIRST = Path("/etc/postfix")


def main() -> None:
    """Do it all."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with PrivatePostfix() as first, PrivatePostfix() as second:
        make_them_two(first, second)
        with mail_flowing(first) as one, mail_flowing(second, source="127.7.7.8") as other:
            the_first_is_reloaded_alone(first, second)
            the_second_is_changed_alone(first, second)
            the_second_has_doors_alone(first, second)
            one_at_a_time(first, second)
        assert one.failures == other.failures == []
    print("done")


def make_them_two(first: PrivatePostfix, second: PrivatePostfix) -> None:
    """Tell Postfix that they belong together."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--bind", first.configuration, FIRST], check=True)
    told = {
        first: f"multi_instance_directories = {second.configuration}\n"
        "multi_instance_wrapper = ${command_directory}/postmulti -p --\n",
        second: "multi_instance_name = postfix-second\nmulti_instance_enable = yes\n",
    }
    for postfix, lines in told.items():
        main = postfix.configuration / "main.cf"
        main.write_text(main.read_text() + lines)
        age(main)
    listed = subprocess.run(["postmulti", "-l"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["-", "postfix-second"], listed


def reloads(postfix: PrivatePostfix) -> int:
    """Count its reloads."""
    return sum("reload -- version" in line for line in postfix.lines())


def the_first_is_reloaded_alone(first: PrivatePostfix, second: PrivatePostfix) -> None:
    """Although a plain `postfix reload` goes to both: one with -c is for that instance (postfix(1))."""
    site = replace(site_of(first), configuration=FIRST)
    assert reload(site, now(), keep=False).notes == ()
    assert (reloads(first), reloads(second)) == (1, 0)
    subprocess.run(["postfix", "reload"], check=True)
    second.wait_for("reload -- version")
    assert survey(site, now).result == "fine"


def the_second_is_changed_alone(first: PrivatePostfix, second: PrivatePostfix) -> None:
    """By its directory: edit, setup and back."""
    counted, already, before = reloads(first), reloads(second), contents(first)
    master = (second.configuration / "master.cf").read_bytes()
    carry_out(change_of(second, "main.cf", "mx.example.test", "mx9.example.test"), site_of(second))
    try:
        carry_out(change_of(second, "main.cf", ">=TLSv1.2", "TLSv9"), site_of(second))
    except RefusedError as error:
        assert "Invalid TLS protocol list" in str(error)
    else:
        raise AssertionError("a broken edit was let through")
    room = room_of(second)
    setup(room)
    assert str(second.configuration) in (second.configuration / "master.cf").read_text()
    unsetup(room)
    assert (second.configuration / "master.cf").read_bytes() == master
    assert (reloads(first), contents(first)) == (counted, before)
    assert reloads(second) == already + 3, "edit, setup, unsetup"


def the_second_has_doors_alone(first: PrivatePostfix, second: PrivatePostfix) -> None:
    """They work, tell their sessions under the instance's own name, and go byte for byte."""
    before = contents(first), contents(second)
    room = room_with_doors(second)
    setup(room)
    doors = view_of(second).doors
    assert {door.level for door in doors} == {Level.LEGACY_RSA, Level.LEGACY}
    assert [visit_door(door) for door in doors] == [None, None]
    for door in doors:
        second.wait_for(rf" postfix-second/mailtls-{door.level}/smtpd\[\d+\]: disconnect from ")
    unsetup(room)
    assert (contents(first), contents(second)) == before


def one_at_a_time(first: PrivatePostfix, second: PrivatePostfix) -> None:
    """The keeper has one Postfix; the other is refused with a sentence."""
    room = room_of(second)
    setup(room)
    mine = room_of(first)
    site = Site(FIRST, room.site.workplace, mine.site.logs)
    try:
        setup(replace(mine, site=site, record=room.record))
    except RefusedError as error:
        assert f"mailtls is set up for {second.configuration}; one Postfix at a time" in str(error)
    else:
        raise AssertionError("it was set up twice")
    unsetup(room)


def contents(postfix: PrivatePostfix) -> list[bytes]:
    """Read both files."""
    return [(postfix.configuration / name).read_bytes() for name in ("main.cf", "master.cf")]


if __name__ == "__main__":
    main()
