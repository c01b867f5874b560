"""Which firewalls of others drop what is led to a door: rules as nft lists them (nft -j list ruleset)."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from tests.postfix.netns import made, why_no_namespaces

from mailtls.core.inputchain import InputChain, closed_chains

PORTS = (10125, 10225)
why_not = why_no_namespaces()

FIREWALLD = """
table inet firewalld {
    chain zones { iifname "eth0" goto public
        goto public
    }
    chain public { tcp dport 25 ct state new,untracked accept
    }
    chain filter_INPUT { type filter hook input priority 10; policy accept;
        ct state { established, related } accept
        %s
        iifname "lo" accept
        jump zones
        ct state invalid drop
        reject with icmpx admin-prohibited
    }
}
"""

OPEN = {
    "no firewall": "",
    "a firewall that drops nothing": "table inet x { chain input { type filter hook input priority 0; tcp dport 23 drop\n}\n}",
    "firewalld": FIREWALLD % "ct status dnat accept",
    "what was led is accepted": """table inet x { chain input { type filter hook input priority 0; policy drop;
        tcp dport 25 accept\nct status dnat tcp dport 10000-11000 counter accept\n}\n}""",
    "the doors' ports are accepted, each by a rule": """table inet x { chain input {
        type filter hook input priority 0; policy drop;\ntcp dport { 25, 10125 } accept\njump more\n}
        chain more { meta l4proto tcp th dport 10225 ct state new accept\n}\n}""",
    "a chain of another hook": "table inet x { chain f { type filter hook forward priority 0; policy drop;\n}\n}",
    "our own": "table inet mailtls { chain guard { type filter hook input priority 0; policy drop;\n}\n}",
}

CLOSED = {
    "only port 25 is accepted": """table inet x { chain input { type filter hook input priority 0; policy drop;
        ct state established,related accept\niifname "lo" accept\ntcp dport 25 accept\n}\n}""",
    "a last rule refuses": """table ip x { chain input { type filter hook input priority 0;
        tcp dport 25 accept\ncounter reject\n}\n}""",
    "only one of the doors": """table inet x { chain input { type filter hook input priority 0; policy drop;
        tcp dport 10125 accept\n}\n}""",
    "only from one network": """table inet x { chain input { type filter hook input priority 0; policy drop;
        ip saddr 192.0.2.0/24 accept\n}\n}""",
    "everybody but one port": """table inet x { chain input { type filter hook input priority 0; policy drop;
        tcp dport != 10125 accept\n}\n}""",
    "firewalld without its rule": FIREWALLD % "",
    "in a circle": """table inet x { chain a { jump b\n}\nchain b { tcp dport 25 accept\n}\nchain input {
        type filter hook input priority 0; policy drop;\njump a\njump b\n}\n}""",
}


def listed(rules: str) -> list[dict[str, Any]]:
    """Load rules into a namespace of their own, and list them."""
    with made("a firewall") as namespace:
        namespace.nft(rules)
        with namespace:
            told = subprocess.run(["nft", "-j", "-t", "list", "ruleset"], capture_output=True, check=True).stdout
    found: list[dict[str, Any]] = json.loads(told)["nftables"]
    return found


@pytest.mark.skipif(why_not is not None, reason=why_not or "")
@pytest.mark.parametrize("what", OPEN)
def test_a_firewall_that_lets_the_doors_be_is_none(what: str) -> None:
    assert closed_chains(listed(OPEN[what]), PORTS) == ()


@pytest.mark.skipif(why_not is not None, reason=why_not or "")
@pytest.mark.parametrize("what", CLOSED)
def test_a_firewall_that_drops_what_is_led_to_a_door_is_found_and_its_remedy_is_one(what: str) -> None:
    (chain,) = closed_chains(listed(CLOSED[what]), PORTS)
    remedy = chain.remedy(PORTS).removeprefix("nft '").removesuffix("'")
    assert closed_chains(listed(f"{CLOSED[what]}\n{remedy}\n"), PORTS) == ()


def test_what_nft_cannot_name_counts_as_no_rule() -> None:
    """As the rules of iptables-nft, which ufw writes; for them the remedy is spoken in their words."""
    place = {"family": "ip", "table": "filter"}
    ruleset: list[dict[str, Any]] = [
        {"chain": {**place, "name": "INPUT", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
        {"rule": {**place, "chain": "INPUT", "expr": [{"xt": None}, {"accept": None}]}},
    ]
    (chain,) = closed_chains(ruleset, PORTS)
    assert chain == InputChain("ip", "filter", "INPUT")
    assert chain.remedy(PORTS) == (
        "iptables -I INPUT -p tcp -m multiport --dports 10125,10225 -m conntrack --ctstate DNAT -j ACCEPT"
    )
