"""Others that lead port 25 elsewhere: rules as nft lists them (nft -j list ruleset)."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from tests.postfix.netns import made, why_no_namespaces

from mailtls.core.portforward import PortForward, forwards_of

why_not = why_no_namespaces()

NAT = "table ip nat { chain %s { type nat hook prerouting priority dstnat; policy accept;\n%s\n}\n}"
ELSEWHERE = {
    "docker's, by nftables": NAT % ("DOCKER", 'iifname != "docker0" tcp dport 25 counter dnat to 172.17.0.2:25'),
    "a redirection": NAT % ("pre", "tcp dport 25 redirect to :2525"),
    "one of several ports": NAT % ("pre", "tcp dport { 25, 465 } dnat to 192.0.2.9"),
    "a range": NAT % ("pre", "tcp dport 20-30 dnat to 192.0.2.9"),
    "every port": NAT % ("pre", "ip daddr 192.0.2.1 dnat to 192.0.2.9"),
}
NOT_OURS_TO_TELL = {
    "nothing": "",
    "another port": NAT % ("pre", "tcp dport 80 redirect to :8080"),
    "every port but this": NAT % ("pre", "tcp dport != 25 redirect to :8080"),
    "a rule that accepts": NAT % ("pre", "tcp dport 25 accept"),
    "our own": "table inet mailtls { chain prerouting { type nat hook prerouting priority dstnat; tcp dport 25 dnat to :10225\n}\n}",
}


def listed(rules: str) -> list[dict[str, Any]]:
    with made("a firewall") as namespace:
        namespace.nft(rules)
        with namespace:
            told = subprocess.run(["nft", "-j", "list", "ruleset"], capture_output=True, check=True, text=True).stdout
    return list(json.loads(told)["nftables"])


@pytest.mark.skipif(why_not is not None, reason=why_not or "")
@pytest.mark.parametrize("rules", ELSEWHERE)
def test_who_leads_port_25_away_is_found(rules: str) -> None:
    found = forwards_of(listed(ELSEWHERE[rules]))
    assert [(each.family, each.table) for each in found] == [("ip", "nat")]


@pytest.mark.skipif(why_not is not None, reason=why_not or "")
@pytest.mark.parametrize("rules", NOT_OURS_TO_TELL)
def test_everything_else_is_let_be(rules: str) -> None:
    assert forwards_of(listed(NOT_OURS_TO_TELL[rules])) == ()


def test_a_rule_of_iptables_is_read_too() -> None:
    match = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 25}}
    rule = {"family": "ip", "table": "nat", "chain": "DOCKER", "expr": [match, {"xt": {"type": "target", "name": "DNAT"}}]}
    assert forwards_of([{"rule": rule}]) == (PortForward("ip", "nat", "DOCKER"),)
