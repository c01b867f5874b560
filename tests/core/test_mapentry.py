"""Our tables are put into master.cf and taken out again without a trace, and never with a word of anybody else."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailtls.core.mapentry import Insertion, Wanted, put_in, tables_of, take_out
from mailtls.core.mastercf import parse_master_cf

from .configtexts import files, master_lines

P = "smtpd_discard_ehlo_keyword_address_maps"
OURS = ("lmdb:/etc/postfix/mailtls/discard", "cidr:/etc/postfix/mailtls/discard.cidr")
US = ",".join(OURS)
HEAD = "smtp inet n - y - - smtpd"

PUT = [
    # the file, the operator's value of main.cf, the file with us
    (f"{HEAD}\n", "", f"{HEAD}\n  -o {P}={US}\n"),
    (HEAD, "", f"{HEAD}\n  -o {P}={US}"),
    (f"{HEAD}\r\n#x\r\n", "", f"{HEAD}\r\n  -o {P}={US}\r\n#x\r\n"),
    (f"{HEAD}\n\t-o a=1\n# end\nx inet\n", "", f"{HEAD}\n\t-o a=1\n\t-o {P}={US}\n# end\nx inet\n"),
    (f"{HEAD}\n", "cidr:/own", f"{HEAD}\n  -o {P}={US},cidr:/own\n"),
    (f"{HEAD}\n", "cidr:/own, hash:/x", f"{HEAD}\n  -o {{ {P} = {US},cidr:/own, hash:/x }}\n"),
    (f"{HEAD} -o {P}=cidr:/own -v\n", "", f"{HEAD} -o {P}={US},cidr:/own -v\n"),
    (f"{HEAD} -o {{ {P} = cidr:/own }}\n", "", f"{HEAD} -o {{ {P} = {US},cidr:/own }}\n"),
    (f"{HEAD} -o {P}=\n  -v\n", "", f"{HEAD} -o {P}={US}\n  -v\n"),
    (f"{HEAD} -o {P}=cidr:/a -o {P}=cidr:/b\n", "", f"{HEAD} -o {P}=cidr:/a -o {P}={US},cidr:/b\n"),
]

EDITED = [
    # the file as it was, how somebody edited it since, what is left, what is said
    (f"{HEAD}\n", (US, f"{US},cidr:/new"), f"{HEAD}\n  -o {P}=cidr:/new\n", "'cidr:/new' is left"),
    (HEAD, (US, f"{US},cidr:/new"), f"{HEAD}\n  -o {P}=cidr:/new", "'cidr:/new' is left"),
    (f"{HEAD}\n", (US, f"cidr:/new,{US}"), f"{HEAD}\n  -o {P}=cidr:/new\n", "'cidr:/new' is left"),
    (f"{HEAD}\n", (US, f"{OURS[0]},cidr:/new,{OURS[1]}"), f"{HEAD}\n  -o {P}=cidr:/new\n", "is left"),
    (f"{HEAD}\n", ("  -o ", "    -o "), f"{HEAD}\n", "the option was taken out"),
    (f"{HEAD}\n", (f"\n  -o {P}", f" -o {P}"), f"{HEAD}\n", "the option was taken out"),
    (f"{HEAD}\n", (f"  -o {P}", f"  -v -o {P}"), f"{HEAD}\n  -v\n", "the option was taken out"),
    (f"{HEAD} -o {P}=\n", (US, f"{US},cidr:/new"), f"{HEAD} -o {P}=cidr:/new\n", "'cidr:/new' is left"),
    (f"{HEAD} -o {P}=cidr:/own\n", (f"{US},", f"{OURS[1]},"), f"{HEAD} -o {P}=cidr:/own\n", "'cidr:/own' is left"),
    (f"{HEAD} -o {P}=cidr:/own\n", (f"{US},cidr:/own", US), f"{HEAD} -o {P}=\n", "'' is left"),
    (f"{HEAD}\n", ("smtp inet", "2525 inet"), None, "is gone"),
    (f"{HEAD}\n", (f"  -o {P}={US}\n", ""), f"{HEAD}\n", "does not name the tables"),
]


@pytest.mark.parametrize(("text", "own", "wanted"), PUT)
def test_the_tables_stand_in_front_and_what_was_there_goes_on(text: str, own: str, wanted: str) -> None:
    changed, inserted = put_in(text, Wanted("smtp/inet", P, OURS, own))
    assert changed == wanted
    assert inserted is not None
    assert take_out(changed, inserted, OURS) == (text, None)
    assert put_in(changed, Wanted("smtp/inet", P, OURS, own)) == (changed, None), "done twice, it changes nothing"


@pytest.mark.parametrize(("text", "edit", "left", "said"), EDITED)
def test_of_what_was_edited_since_only_our_words_are_taken_out(
    text: str, edit: tuple[str, str], left: str | None, said: str
) -> None:
    changed, inserted = put_in(text, Wanted("smtp/inet", P, OURS))
    assert inserted is not None
    edited = changed.replace(*edit)
    assert edited != changed
    result, note = take_out(edited, inserted, OURS)
    assert result == (edited if left is None else left)
    assert note is not None
    assert said in note


def test_edits_elsewhere_stay() -> None:
    changed, inserted = put_in(f"{HEAD}\n", Wanted("smtp/inet", P, OURS))
    assert inserted is not None
    edited = f"# new\n{changed}submission inet n - y - - smtpd\n  -o {P}={US}\n"
    result, note = take_out(edited, inserted, OURS)
    assert (result, note) == (f"# new\n{HEAD}\nsubmission inet n - y - - smtpd\n  -o {P}={US}\n", None)


def test_an_unknown_service_is_refused() -> None:
    with pytest.raises(ValueError, match="no service"):
        put_in("", Wanted("smtp/inet", P, OURS))


def test_a_list_of_tables_is_cut_as_postfix_cuts_it() -> None:
    assert tables_of("a:/x, b:/y\n\tc:{{k = v, w}} ,d:/z,") == ("a:/x", "b:/y", "c:{{k = v, w}}", "d:/z")
    assert tables_of(" ,") == ()


@given(files(master_lines()), st.data(), st.sampled_from(["", "cidr:/own", "cidr:/own hash:/x"]))
def test_put_in_and_taken_out_leaves_every_byte(text: str, data: st.DataObject, own: str) -> None:
    services = parse_master_cf(text).effective
    assume(services)
    service = data.draw(st.sampled_from(services))
    changed, inserted = put_in(text, Wanted(service.key, P, OURS, own))
    assert inserted is not None
    after = parse_master_cf(changed).find(service.key)
    assert after is not None
    assert tables_of(after.overrides[P])[:2] == OURS
    assert {k: v for k, v in after.overrides.items() if k != P} == {
        k: v for k, v in service.overrides.items() if k != P
    }
    assert take_out(changed, inserted, OURS) == (text, None)


@given(files(master_lines()), st.text(alphabet=" \n\t-o=,#ab", max_size=6), st.data())
def test_whatever_somebody_typed_since_our_words_go_and_theirs_stay(text: str, typed: str, data: st.DataObject) -> None:
    services = parse_master_cf(text).effective
    assume(services)
    key = data.draw(st.sampled_from(services)).key
    changed, inserted = put_in(text, Wanted(key, P, OURS))
    assert inserted is not None
    at = data.draw(st.integers(0, len(changed)))
    edited = changed[:at] + typed + changed[at:]
    result, _ = take_out(edited, inserted, OURS)
    service, before = parse_master_cf(result).find(key), parse_master_cf(edited).find(key)
    if service is not None and before is not None:
        assert not set(OURS) & set(tables_of(service.overrides.get(P, "")))
        others = [(e.name, e.value) for e in before.options if e.name != P]
        assert [(e.name, e.value) for e in service.options if e.name != P] == others
        assert service.fields == before.fields


def test_an_insertion_that_never_was_one_takes_nothing_out() -> None:
    text = f"{HEAD} -o {P}=cidr:/own\n"
    assert take_out(text, Insertion("smtp/inet", P, f"{US},", whole=False), OURS)[0] == text
