"""The exporter gives Prometheus its own format, and says in one sentence whether mailtlsd watches."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CONTENT_TYPE_LATEST

from mailtls.core.action import Action
from mailtls.errors import ConfigError
from mailtls.service.exporter import Exporter
from mailtls.service.metrics import Metrics
from service.asking import PATIENCE_S, running


def busy() -> Metrics:
    metrics = Metrics()
    metrics.decision(Action.WAIVE)
    return metrics


def fetched(path: str, trouble: str | None = None) -> tuple[int, str, str]:
    """Status, content type and text of a page."""

    async def both() -> bytes:
        exporter = Exporter("127.0.0.1:0", busy(), lambda: trouble)
        async with running(exporter.run, lambda: exporter.port is not None):
            reader, writer = await asyncio.open_connection("127.0.0.1", exporter.port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
            writer.close()
            return answer

    head, _, body = asyncio.run(both()).decode().partition("\r\n\r\n")
    kind = next(line for line in head.split("\r\n") if line.startswith("Content-Type: "))
    return int(head.split(" ", 2)[1]), kind.removeprefix("Content-Type: "), body


def test_prometheus_gets_its_own_format() -> None:
    status, kind, text = fetched("/metrics")
    assert status == 200
    assert kind == CONTENT_TYPE_LATEST
    assert kind.startswith("text/plain; version=")
    assert text == busy().text().decode()


def test_mailtlsd_is_well_while_it_watches() -> None:
    assert fetched("/-/healthy") == (200, "text/plain; charset=utf-8", "mailtlsd is well.\n")


def test_what_is_wrong_is_one_sentence() -> None:
    trouble = "/var/log/mail.log: permission denied; see: mailtlsctl status"
    assert fetched("/-/healthy", trouble) == (503, "text/plain; charset=utf-8", f"{trouble}\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthy", "/-/ready"])
def test_there_is_nothing_else(path: str) -> None:
    assert fetched(path)[0] == 404


def test_an_address_that_cannot_be_one_is_the_operators_to_mend() -> None:
    with pytest.raises(ConfigError, match=r"mailtls\.toml, \[metrics\] listen: 'everywhere' is no address"):
        Exporter("everywhere", Metrics(), lambda: None)
