"""Receivers and names that mean harm: nothing hangs, nothing goes where it may not, nothing is believed."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from bot.webhooks.addresses import AddressRefused, checked, resolve
from bot.webhooks.sending import Outcome, Sender
from tests.contract.store_harness import started
from tests.integration.webhook_desk import OK, Desk, Post, always, desk, hang, receiver, status

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PRIVATE = [
    "10.0.0.1", "127.0.0.1", "127.8.9.1", "0.0.0.0", "169.254.169.254", "172.16.0.1", "192.168.1.1",
    "100.64.0.1", "100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255", "::1", "::",
    "fe80::1", "fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::", "ff02::1", "2001:db8::1",
]  # fmt: skip


class Names:
    """A name server: each question is answered by the next of the given answers, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return list(answer)


async def sent(sender: Sender, url: str) -> Outcome:
    """One attempt, which has to end by itself."""
    try:
        async with asyncio.timeout(30):
            return await sender.post(url, b"{}", {"webhook-id": "msg_1"}, NOW)
    finally:
        await sender.close()


# ── addresses ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("address", PRIVATE)
async def test_names_that_mean_private_machines_are_refused(address: str) -> None:
    with pytest.raises(AddressRefused, match="FETCH_ALLOW_HOSTS"):
        await checked("https://hooks.example/a", (), Names([address]))
    with pytest.raises(AddressRefused):  # one public address beside it is no excuse
        await checked("https://hooks.example/a", (), Names(["93.184.216.34", address]))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/",
        "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest/meta-data/",
        "https://localhost/", "https://localhost./", "https://LOCALHOST:8443/", "https://[fe80::1%25eth0]/",
        "https://127。0。0。1/", "https://①②⑦.0.0.1/",
    ],
)  # fmt: skip
async def test_every_spelling_of_this_machine_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        await Sender().check(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/", "https"),
        ("ftp://example.com/", "https"),
        ("file:///etc/passwd", "https"),
        ("javascript:alert(1)", "https"),
        ("https://", "host"),
        ("https:///path", "host"),
        ("/path", "https"),
        ("", "https"),
        ("https://user:pw@example.com/", "password"),
        ("https://example.com@127.0.0.1/", "password"),
        ("https://example.com/#part", "#"),
        ("https://example.com:0/", "port"),
        ("https://example.com:99999/", "port"),
        ("https://exa mple.com/", "letters"),
        ("https://example.com/\r\nX-Evil: 1", "address"),
        ("https://[::1/", "address"),
        ("https://" + "a" * 3_000, "characters"),
    ],
)
async def test_what_is_no_public_https_address_is_refused_with_a_reason(url: str, why: str) -> None:
    with pytest.raises(AddressRefused, match=why):
        await checked(url, (), Names(["93.184.216.34"]))


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..example", "no-such-name.invalid"])
async def test_names_that_mean_nothing_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        await Sender().check(f"https://{host}/")


async def test_an_allowed_host_is_allowed_on_that_port_alone() -> None:
    names = Names(["10.0.0.1"])
    target = await checked("http://Hooks.Internal:8080/a?b=c", {"hooks.internal:8080"}, names)
    assert target == (["http://10.0.0.1:8080/a?b=c"], "hooks.internal:8080", "hooks.internal")
    for url in ("http://hooks.internal:8081/", "https://hooks.internal/", "https://x.hooks.internal:8080/"):
        with pytest.raises(AddressRefused):
            await checked(url, {"hooks.internal:8080"}, names)


async def test_a_name_that_turns_private_after_it_was_checked_is_not_reached(tmp_path: Path) -> None:
    names = Names(["93.184.216.34"], ["127.0.0.1"])
    async with receiver() as there, desk(tmp_path, resolve=names) as one:
        webhook_id, _ = await one.add(f"https://hooks.example:{there.port}/")
        await started(one.store, "r1")
        await one.round()
        assert not there.posts
        (row, *_) = (await one.book.notices(webhook_id, state="waiting")).items[::-1]
        assert "not in the public internet" in row.problem
        assert row.attempts == 1


async def test_the_address_that_was_judged_is_the_one_that_is_reached(tmp_path: Path) -> None:
    """A second look at the name, as a library makes it, would lead elsewhere."""
    async with receiver() as there:
        names = Names(["127.0.0.1"], ["192.0.2.1"])
        url = f"http://hooks.example:{there.port}/a?b=c"
        outcome = await sent(Sender([f"hooks.example:{there.port}"], resolve=names), url)
        assert outcome.ok
        assert names.asked == [("hooks.example", there.port)]
        assert there.posts[0].headers["host"] == f"hooks.example:{there.port}"
        assert there.posts[0].path == "/a?b=c"


async def test_where_one_address_of_a_name_is_dead_the_next_is_tried() -> None:
    async with receiver() as there:
        names = Names(["127.0.0.2", "127.0.0.1"])  # nobody listens on the first
        url = f"http://hooks.example:{there.port}/"
        assert (await sent(Sender([f"hooks.example:{there.port}"], resolve=names), url)).ok
        assert len(there.posts) == 1


# ── receivers ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", [300, 301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(code: int) -> None:
    async with receiver() as elsewhere:
        answer = status(code, f"Location: {elsewhere.url}", "Location: http://169.254.169.254/")
        async with receiver(always(answer)) as there:
            outcome = await sent(Sender([there.host, elsewhere.host]), there.url)
            assert (outcome.status, outcome.ok) == (code, False)
            assert "redirects are not followed" in outcome.problem
            assert len(there.posts) == 1
            assert not elsewhere.posts


async def test_who_never_answers_is_left_after_the_limit() -> None:
    async with receiver(hang) as there:
        outcome = await sent(Sender([there.host], limit_s=0.3), there.url)
        assert (outcome.ok, outcome.problem) == (False, "no answer within 0.3 s")


async def test_a_name_server_that_never_answers_is_left_after_the_limit() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    outcome = await sent(Sender(resolve=resolve, limit_s=0.3), "https://hooks.example/")
    assert not outcome.ok
    with pytest.raises(AddressRefused):
        await Sender(resolve=resolve, limit_s=0.3).check("https://hooks.example/")


async def test_headers_that_come_one_letter_at_a_time_do_not_hold_the_sender() -> None:
    async def drip(post: Post, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with receiver(drip) as there:
        outcome = await sent(Sender([there.host], limit_s=0.5), there.url)
        assert (outcome.ok, outcome.problem) == (False, "no answer within 0.5 s")


async def test_an_endless_answer_is_not_read() -> None:
    written = 0

    async def endless(post: Post, writer: asyncio.StreamWriter) -> bytes:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
        while True:
            writer.write(piece)
            await writer.drain()
            written += len(piece)

    async with receiver(endless) as there:
        assert (await sent(Sender([there.host], limit_s=5), there.url)).status == 200
    assert written < 16_000_000  # what the kernel's buffers hold


async def test_endless_headers_are_not_read() -> None:
    async def endless(post: Post, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Long: " + b"a" * 60_000 + b"\r\n")
            await writer.drain()

    async with receiver(endless) as there:
        outcome = await sent(Sender([there.host], limit_s=5), there.url)
        assert (outcome.ok, outcome.status) == (False, 0)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1", b"HTTP/1.1 200", b"\x00\xff\xfe", b"SSH-2.0-OpenSSH\r\n"],
    ids=repr,
)
async def test_what_is_no_answer_is_a_failure(answer: bytes) -> None:
    async with receiver(always(answer)) as there:
        outcome = await sent(Sender([there.host], limit_s=5), there.url)
        assert (outcome.ok, outcome.status) == (False, 0)
        assert outcome.problem
        assert "\n" not in outcome.problem


async def test_an_answer_that_breaks_off_in_its_body_counts_by_its_status() -> None:
    async with receiver(always(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")) as there:
        assert (await sent(Sender([there.host]), there.url)).ok


async def test_nobody_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        outcome = await sent(Sender([host]), f"http://{host}/")
    assert (outcome.ok, outcome.status) == (False, 0)
    assert "no connection" in outcome.problem


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────


def certificate(folder: Path, name: str, address: str = "") -> Path:
    """A self-signed certificate and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if address:
        names.append(x509.IPAddress(IPv4Address(address)))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    file = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.mark.parametrize(
    ("shown", "trusted", "ok"),
    [
        ("hooks.example", "hooks.example", True),
        ("other.example", "other.example", False),  # trusted, but somebody else's
        ("hooks.example", "other.example", False),  # nobody vouches for it
    ],
)
async def test_the_certificate_has_to_be_that_of_the_name(
    tmp_path: Path, shown: str, trusted: str, *, ok: bool
) -> None:
    files = {name: certificate(tmp_path, name, "127.0.0.1" if not ok else "") for name in {shown, trusted}}
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(files[shown])
    trusting = ssl.create_default_context(cafile=str(files[trusted]))
    async with receiver(tls=serving) as there:
        sender = Sender(
            [f"hooks.example:{there.port}"], resolve=Names(["127.0.0.1"]), tls=trusting, limit_s=10
        )
        outcome = await sent(sender, f"https://hooks.example:{there.port}/")
        assert outcome.ok is ok
        assert len(there.posts) == int(ok)
        assert ok or "TLS" in outcome.problem


async def test_plain_http_behind_https_is_a_failure() -> None:
    async with receiver() as there:
        outcome = await sent(Sender([there.host], limit_s=5), f"https://{there.host}/")
        assert (outcome.ok, outcome.status) == (False, 0)
        assert not there.posts
        del outcome
        gc.collect()  # a connection that was left open makes itself heard here


async def test_names_are_asked_for_where_they_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, asked = threading.Event(), threading.Semaphore(0)

    def never(*args: object, **options: object) -> list[object]:
        asked.release()
        assert silent.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(8))
    lanes = [asyncio.create_task(resolve("hooks.example", 443)) for _ in range(50)]
    try:
        async with asyncio.timeout(30):
            while not asked.acquire(blocking=False):  # noqa: ASYNC110 - threads know no event of the loop
                await asyncio.sleep(0.01)
            for _ in range(50):
                assert await asyncio.to_thread(int, "7") == 7
    finally:
        silent.set()
        await asyncio.gather(*lanes)


# ── all of them at once ──────────────────────────────────────────────────────────────────────


async def test_hostile_receivers_hold_nobody_up(tmp_path: Path) -> None:
    async def closes(post: Post, writer: asyncio.StreamWriter) -> bytes:
        writer.transport.abort()
        return b""

    async with (
        receiver(hang) as a,
        receiver(closes) as b,
        receiver(always(status(500))) as c,
        receiver(always(status(302, "Location: http://169.254.169.254/"))) as d,
        receiver(always(OK)) as well,
        desk(tmp_path, *(r.host for r in (a, b, c, d, well))) as one,
    ):
        for each in (a, b, c, d, well):
            await one.add(each.url)
        await working(one, well.until(30))
        assert len(well.ids) == len(set(well.ids)) == 30


async def working(one: Desk, until: Awaitable[None]) -> None:
    task = asyncio.create_task(one.dispatcher.run())
    try:
        for i in range(15):
            await started(one.store, f"r{i}")
        await until
    finally:
        task.cancel()
        await asyncio.wait([task])
