"""The exporter: /metrics for Prometheus, and /-/healthy for whoever watches mailtlsd.

Both are answered from the loop that watches the logs: where it hangs there is no answer, and that is the truth. What
strangers may ask, and how often, is edge/httpserver.py's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST

from mailtls.edge.httpserver import HttpServer, Page, sentence
from mailtls.service.metrics import Metrics


class Exporter:
    """Serves `metrics` over HTTP at `listen` (`address:port`; empty: nowhere).

    `ill` says in one sentence what keeps mailtlsd from watching, None where nothing does: /-/healthy is 503 or 200.
    Raises ConfigError for an address that cannot be one.
    """

    def __init__(self, listen: str, metrics: Metrics, ill: Callable[[], str | None]) -> None:
        self._metrics = metrics
        self._ill = ill
        self._server = HttpServer(listen, self._page, "metrics")

    @property
    def port(self) -> int | None:
        """The port that is listened at, None while there is none."""
        return self._server.port

    async def run(self) -> None:
        """Serve until cancelled; a port that is taken is said, and tried again."""
        await self._server.run()

    def _page(self, path: str) -> Page | None:
        match path:
            case "/metrics":
                return Page(self._metrics.text(), kind=CONTENT_TYPE_LATEST)
            case "/-/healthy":
                trouble = self._ill()
                status = HTTPStatus.OK if trouble is None else HTTPStatus.SERVICE_UNAVAILABLE
                return sentence(trouble or "mailtlsd is well.", status)
        return None
