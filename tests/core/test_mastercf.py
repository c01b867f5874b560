"""A service of master.cf is found where Postfix finds it, with its options."""

from __future__ import annotations

import pytest
from hypothesis import given

from mailtls.core.mastercf import parse_master_cf

from .configtexts import files, master_lines

HEAD = "smtp inet n - y - - smtpd"

OPTIONS = [
    # what stands behind the command, the options as Postfix takes them
    ("", {}),
    (" -o a=1", {"a": "1"}),
    ("\n  -o a=1\n  -o b=2", {"a": "1", "b": "2"}),
    ("\n  -o a=1 -o a=2", {"a": "2"}),
    ("\n\t-o\n\ta=1", {"a": "1"}),
    (" -oa=1", {"a": "1"}),
    (" -o { a = 1 2, {x} }", {"a": "1 2, {x}"}),
    (" -o {a=1}", {"a": "1"}),
    (" -o a=", {"a": ""}),
    (" -o { a = }", {"a": ""}),
    ("\n# -o a=0\n  -o a=1\n   # in between\n\n -v -o b=2", {"a": "1", "b": "2"}),
    (" -o a=b=c", {"a": "b=c"}),
    (" -o a=1\r\n  -o b=2\r\n", {"a": "1", "b": "2"}),
    (" -v", {}),
    (" -o", {}),
    (" -o junk", {}),
]


@pytest.mark.parametrize(("rest", "options"), OPTIONS)
def test_options_are_those_that_postfix_takes(rest: str, options: dict[str, str]) -> None:
    service = parse_master_cf(HEAD + rest).find("smtp/inet")
    assert service is not None
    assert service.overrides == options


def test_the_fields_of_a_service_have_names() -> None:
    (service,) = parse_master_cf(HEAD + " -v\n").services
    assert (service.name, service.kind, service.chroot, service.command) == ("smtp", "inet", "y", "smtpd")


def test_arguments_are_passed_on_as_the_master_does() -> None:
    (service,) = parse_master_cf(HEAD + " -v -o { a = b {c} } -oa=1\n").services
    assert service.argv == ("-v", "-o", "a = b {c}", "-oa=1")


def test_the_last_of_two_entries_counts() -> None:
    master = parse_master_cf(f"{HEAD} -o a=1\nsubmission inet n - y - - smtpd\n{HEAD} -o a=2\n")
    service = master.find("smtp/inet")
    assert service is not None
    assert service.overrides == {"a": "2"}
    assert [each.key for each in master.effective] == ["submission/inet", "smtp/inet"]
    assert len(master.services) == 3


def test_what_is_commented_out_or_too_short_is_no_service() -> None:
    assert parse_master_cf(f"#{HEAD}\nsmtp inet n - y\n").services == ()


@given(files(master_lines()))
def test_the_places_of_options_are_where_they_stand(text: str) -> None:
    for service in parse_master_cf(text).services:
        for option in service.options:
            said = service.line.text
            assert said[option.value_start : option.value_end] == option.value
            assert said[option.start : option.end].startswith("-o")
            assert option.start < option.value_start <= option.value_end <= option.end
