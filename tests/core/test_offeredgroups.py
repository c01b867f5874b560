"""Groups as Postfix hands them to OpenSSL."""

from __future__ import annotations

from mailtls.core.offeredgroups import groups_of
from mailtls.core.serverprofile import FFDHE_GROUPS, POSTFIX_GROUPS

CURVES, FIELDS = "tls_eecdh_auto_curves", "tls_ffdhe_auto_groups"


def test_the_defaults_of_postfix_are_what_the_predictor_has() -> None:
    old = {CURVES: "X25519 X448 prime256v1 secp521r1 secp384r1"}
    assert groups_of(old, (3, 0)) == POSTFIX_GROUPS
    assert groups_of({**old, FIELDS: "ffdhe2048 ffdhe3072"}, (3, 5)) == (*POSTFIX_GROUPS, *FFDHE_GROUPS)


def test_names_that_openssl_does_not_know_are_left_out() -> None:
    values = {CURVES: "X25519MLKEM768, nonsense, P-256:secp256r1"}
    assert groups_of(values, (3, 0)) == (0x0017,)
    assert groups_of(values, (3, 5)) == (0x11EC, 0x0017)
    assert groups_of({CURVES: "nonsense"}, (3, 0)) == POSTFIX_GROUPS


def test_without_any_name_openssls_own_count() -> None:
    assert 0x11EC in groups_of({CURVES: "", FIELDS: ""}, (3, 5))
    assert groups_of({}, (3, 0))[:2] == (0x001D, 0x0017)
