"""What a client is told: by arguments, by the environment, and what it refuses. The key is never shown."""

from __future__ import annotations

import subprocess
import sys
from typing import assert_type

import pytest

from quartet_client import AsyncQuartet, Quartet, RunDetail

KEY = "k-very-secret-0123"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    for name in ("QUARTET_URL", "QUARTET_API_KEY", "API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("client", [Quartet, AsyncQuartet])
def test_address_and_key_come_from_arguments_then_from_the_environment(
    client: type[Quartet | AsyncQuartet], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (client().settings.url, client().settings.api_key) == ("http://127.0.0.1:8080", "")
    monkeypatch.setenv("API_KEY", "server's")
    assert client().settings.api_key == "server's"
    monkeypatch.setenv("QUARTET_API_KEY", " client's\n".replace(" ", ""))
    monkeypatch.setenv("QUARTET_URL", "https://quartet.example/under/")
    assert client().settings.api_key == "client's"
    assert client().settings.url == "https://quartet.example/under"
    assert client("http://[::1]:9000", "").settings.api_key == ""


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "ftp://x", "http://", "http://u:p@x", "http://x?key=1", "x"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Quartet(url)


@pytest.mark.parametrize("key", [f"{KEY}\r\nX: y", f"{KEY} {KEY}", f"{KEY}é", f"{KEY}\0"])
def test_what_is_no_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="key") as caught:
        Quartet(api_key=key)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("client", [Quartet(api_key=KEY), AsyncQuartet(api_key=KEY)])
def test_the_key_is_not_shown(client: Quartet | AsyncQuartet) -> None:
    assert KEY not in repr(client) + repr(client.settings) + repr(vars(client))


def test_ids_cannot_lead_elsewhere() -> None:
    with Quartet() as client:
        for bad in ("", ".", ".."):
            with pytest.raises(ValueError, match="no id"):
                client.run(bad)


def test_methods_have_the_types_and_words_of_both_clients() -> None:
    async def typed(waits: Quartet, awaits: AsyncQuartet) -> None:
        assert_type(waits.run("r"), RunDetail)
        assert_type(await awaits.run("r"), RunDetail)

    assert typed
    client = Quartet()
    assert "newest first" in (client.runs.__doc__ or "")
    assert client.runs.__name__ == "runs"


def test_importing_the_client_loads_no_network_and_nothing_of_the_bot() -> None:
    program = (
        "import sys, quartet_client; quartet_client.Quartet();"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    names = set(loaded.stdout.split())
    assert "pydantic" in names
    assert not names & {"httpx2", "websockets", "bot", "orchestrator", "adapters", "config"}
