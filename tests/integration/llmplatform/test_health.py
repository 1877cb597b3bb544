"""The health check of a container, asking a server as the container engine has it do."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from llmplatform.process import health
from llmplatform.process.health import answers


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer may take as long as a busy machine does."""
    monkeypatch.setattr(health, "_WITHIN_S", 60.0)


@contextmanager
def served(status: HTTPStatus) -> Iterator[str]:
    """A server that answers every GET with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/healthz"
        finally:
            server.shutdown()
            thread.join()


def test_a_good_answer_is_healthy() -> None:
    with served(HTTPStatus.OK) as url:
        assert answers(url) is None


def test_an_error_is_not_healthy() -> None:
    with served(HTTPStatus.SERVICE_UNAVAILABLE) as url:
        assert answers(url) == f"{url} answers 503"


def test_where_nothing_listens_is_not_healthy() -> None:
    with served(HTTPStatus.OK) as url:
        pass
    wrong = answers(url)
    assert wrong is not None
    assert "refused" in wrong
