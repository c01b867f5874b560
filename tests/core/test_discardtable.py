"""What our two tables say, held against what smtpd would do with and without them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.discardtable import (
    OwnEntries,
    OwnRule,
    discard_tables,
    is_key,
    parse_own_cidr,
    parse_own_tables,
    still_standing,
    with_starttls,
    within_networks,
)
from mailtls.core.tablepair import TablePair

Table = dict[str, str] | list[tuple[str, str]]
"""One of the operator's tables: exact entries, or cidr rules in their order."""


def first_hit(tables: list[Table], ip: str) -> str | None:
    """smtpd asks the tables in their order; the first that answers is believed (global/maps.c:maps_find)."""
    for table in tables:
        if isinstance(table, dict):
            found = table.get(ip)
        else:
            address = ipaddress.ip_address(ip)
            found = next((words for network, words in table if address in ipaddress.ip_network(network)), None)
        if found is not None:
            return found
    return None


def discarded(answer: str | None, service: str) -> set[str]:
    """A match replaces what the service discards (smtpd/smtpd.c:smtpd_proto)."""
    return set((service if answer is None else answer).replace(",", " ").lower().split())


def own_entries(tables: list[Table], waived: list[str]) -> OwnEntries:
    """What the edge finds out with postmap: answers for hosts and listed keys, and every rule in order."""
    keys = [key for table in tables if isinstance(table, dict) for key in table]
    networks = [each for each in waived if "/" in each]
    asked = [each for each in waived if "/" not in each] + list(within_networks(keys, networks))
    answers = {ip: found for ip in asked if (found := first_hit(tables, ip)) is not None}
    rules = [
        OwnRule(ipaddress.ip_network(net), words) for table in tables if isinstance(table, list) for net, words in table
    ]
    return OwnEntries(answers, tuple(rules))


# A small world of addresses, so that waivers, entries and rules meet: 10.0.0.0/27 and fd00::/123.
ADDRESSES = [f"10.0.0.{number}" for number in range(32)] + [str(ipaddress.ip_address("fd00::") + n) for n in range(32)]
addresses = st.sampled_from(ADDRESSES)
networks = st.builds(
    lambda ip, up: str(ipaddress.ip_network(ip).supernet(prefixlen_diff=up)), addresses, st.integers(1, 5)
)
either = st.one_of(addresses, networks)
words = st.lists(st.sampled_from(["chunking", "DSN", "pipelining", "silent-discard", "STARTTLS", "xyz"]), max_size=3)
values = st.builds(lambda some, gap: gap.join(some), words.filter(bool), st.sampled_from([" ", ",", ", "]))
tables = st.lists(
    st.one_of(st.dictionaries(addresses, values, max_size=4), st.lists(st.tuples(either, values), max_size=3)),
    max_size=3,
)


@given(st.lists(either, unique=True, max_size=5), words, tables, addresses)
def test_a_waiver_hides_starttls_gives_nothing_back_and_changes_nobody_else(
    waived: list[str], service: list[str], operator: list[Table], ip: str
) -> None:
    ours = discard_tables(waived, service, own_entries(operator, waived))
    before = first_hit(operator, ip)
    answer = ours.answer_for(ip)
    after = answer if answer is not None else before
    is_waived = any(ipaddress.ip_address(ip) in ipaddress.ip_network(each) for each in waived)
    expected = discarded(before, " ".join(service))
    if is_waived:
        expected = (expected | discarded(None, " ".join(service)) | {"starttls"}) - {"silent-discard"}
    assert discarded(after, " ".join(service)) == expected


@given(st.lists(either, unique=True, max_size=5), words, tables)
def test_no_value_is_ever_empty_or_silent(waived: list[str], service: list[str], operator: list[Table]) -> None:
    made = discard_tables(waived, service, own_entries(operator, waived))
    for value in (*made.hosts.values(), *(value for _, value in made.networks)):
        assert value.split()[-1] == "starttls"
        assert "silent-discard" not in value


@given(st.lists(either, unique=True, max_size=5), words, tables)
def test_what_is_cut_down_adds_nothing_and_drops_only_what_is_over(
    waived: list[str], service: list[str], operator: list[Table]
) -> None:
    made = discard_tables(waived, service, own_entries(operator, waived))
    half = waived[::2]
    cut = still_standing(made, half)
    assert set(cut.hosts.items()) <= set(made.hosts.items())
    assert set(cut.networks) <= set(made.networks)
    for ip in ADDRESSES:
        stands = any(ipaddress.ip_address(ip) in ipaddress.ip_network(each) for each in half)
        assert (cut.answer_for(ip) is not None) == stands
    assert still_standing(made, waived) == made


@pytest.mark.parametrize(
    ("service", "own", "expected"),
    [
        ((), {}, "starttls"),
        (("chunking",), {}, "chunking starttls"),
        (("chunking", "silent-discard"), {}, "chunking starttls"),
        (("chunking",), {"192.0.2.7": "dsn"}, "chunking dsn starttls"),
        (("chunking",), {"192.0.2.7": "DSN, Silent-Discard,PIPELINING"}, "chunking dsn pipelining starttls"),
        (("chunking",), {"192.0.2.7": "starttls"}, "chunking starttls"),
        (("chunking",), {"192.0.2.7": ""}, "chunking starttls"),
        (("chunking",), {"192.0.2.8": "dsn"}, "chunking starttls"),
    ],
)
def test_the_value_is_the_union_of_the_services_keywords_the_operators_entry_and_starttls(
    service: tuple[str, ...], own: dict[str, str], expected: str
) -> None:
    assert discard_tables(["192.0.2.7"], service, OwnEntries(own)).hosts == {"192.0.2.7": expected}


def test_the_texts_are_what_postmap_and_cidr_tables_read() -> None:
    made = TablePair({"192.0.2.7": "dsn starttls", "2001:db8::1": "starttls"}, (("192.0.2.0/28", "starttls"),))
    assert made.host_text() == "192.0.2.7 dsn starttls\n2001:db8::1 starttls\n"
    assert made.network_text() == "192.0.2.0/28 starttls\n"


def test_a_rule_that_is_narrower_than_the_waiver_stands_before_it_and_a_wider_one_is_cut() -> None:
    own = OwnEntries({}, tuple(parse_own_cidr("10.0.0.4/30 dsn\n10.0.0.0/8 chunking\n0.0.0.0/0 xyz\n")))
    made = discard_tables(["10.0.0.0/24", "fd00::/64"], ["pipelining"], own)
    assert made.networks == (
        ("10.0.0.4/30", "pipelining dsn starttls"),
        ("10.0.0.0/24", "pipelining chunking starttls"),
        ("10.0.0.0/24", "pipelining starttls"),
        ("fd00::/64", "pipelining starttls"),
    )


def test_an_exact_entry_inside_a_network_waiver_is_carried_into_the_host_table() -> None:
    made = discard_tables(["10.0.0.0/24"], (), OwnEntries({"10.0.0.9": "dsn"}))
    assert made.hosts == {"10.0.0.9": "dsn starttls"}


@pytest.mark.parametrize("keyword", ["starttls", "STARTTLS", "StartTLS"])
def test_starttls_is_not_said_twice(keyword: str) -> None:
    assert with_starttls(f"dsn {keyword}") == "dsn starttls"


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        ("192.0.2.7", True),
        ("2001:db8::1", True),
        ("2001:DB8::1", False),
        ("2001:db8:0:0::1", False),
        ("[192.0.2.7]", False),
        ("192.0.2", False),
        ("192.0.2.0/24", False),
        ("::ffff:192.0.2.7", False),
        ("mail.example.com", False),
    ],
)
def test_only_addresses_as_smtpd_prints_them_are_keys(key: str, asked: bool) -> None:
    assert is_key(key) is asked


def test_a_cidr_table_is_read_with_its_comments_and_continued_lines() -> None:
    text = "# a comment\n10.0.0.0/8   chunking,\n   dsn\n\n   # between\n192.0.2.7 dsn\n2001:db8::/32 dsn\n"
    rules = parse_own_cidr(text)
    assert [(str(rule.network), rule.keywords) for rule in rules] == [
        ("10.0.0.0/8", "chunking, dsn"),
        ("192.0.2.7/32", "dsn"),
        ("2001:db8::/32", "dsn"),
    ]


@pytest.mark.parametrize(
    "line", ["!10.0.0.0/8 dsn", "if 10.0.0.0/8", "endif", "10.0.0.1/8 dsn", "10.0.0.0/8", "mail dsn"]
)
def test_a_cidr_rule_that_is_not_plain_is_not_guessed_at(line: str) -> None:
    with pytest.raises(ValueError, match=line.split()[0].strip("!")[:4]):
        parse_own_cidr(f"10.1.0.0/16 dsn\n{line}\n")


@pytest.mark.parametrize(
    ("spelled", "enumerable", "files"),
    [
        ("hash:/etc/postfix/ehlo", True, ("/etc/postfix/ehlo.db",)),
        ("lmdb:/etc/postfix/ehlo", True, ("/etc/postfix/ehlo.lmdb",)),
        ("proxy:lmdb:/etc/postfix/ehlo", True, ("/etc/postfix/ehlo.lmdb",)),
        ("texthash:/etc/postfix/ehlo", True, ("/etc/postfix/ehlo",)),
        ("cidr:/etc/postfix/ehlo.cidr", True, ("/etc/postfix/ehlo.cidr",)),
        ("cidr:{{10.0.0.0/8 dsn}}", False, ("{{10.0.0.0/8 dsn}}",)),
        ("inline:{192.0.2.7=dsn}", True, ()),
        ("static:dsn", True, ()),
        ("pcre:/etc/postfix/ehlo.pcre", False, ("/etc/postfix/ehlo.pcre",)),
        ("ldap:/etc/postfix/ldap.cf", False, None),
    ],
)
def test_which_of_the_operators_tables_can_be_listed(spelled: str, enumerable: bool, files: object) -> None:
    (table,) = parse_own_tables([spelled])
    assert (table.enumerable, table.files) == (enumerable, files)
    assert table.spelled == spelled.removeprefix("proxy:")
