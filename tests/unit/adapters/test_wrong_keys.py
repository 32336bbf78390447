"""Who guesses keys waits; nobody else does."""

from __future__ import annotations

from adapters import wrong_keys
from adapters.wrong_keys import WrongKeys


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_who_guesses_waits_and_others_do_not() -> None:
    clock = Clock()
    wrong = WrongKeys(3, clock)
    for _ in range(3):
        assert wrong.wait_s("10.0.0.1") == 0
        wrong.note("10.0.0.1")
        clock.now += 10
    assert wrong.wait_s("10.0.0.1") == 31
    assert wrong.wait_s("10.0.0.2") == 0
    clock.now += 30
    assert wrong.wait_s("10.0.0.1") == 0  # the first is a minute old
    wrong.note("10.0.0.1")
    assert wrong.wait_s("10.0.0.1") == 11


def test_another_address_of_the_same_network_is_the_same_client() -> None:
    wrong = WrongKeys(2, Clock())
    wrong.note("2001:db8::1")
    wrong.note("2001:db8::ffff:2")
    assert wrong.wait_s("2001:db8::3") > 0
    assert wrong.wait_s("2001:db8:0:1::3") == 0
    wrong.note("::ffff:10.0.0.1")
    wrong.note("10.0.0.1")
    assert wrong.wait_s("::ffff:10.0.0.1") > 0
    assert wrong.wait_s("::ffff:10.0.0.2") == 0


def test_a_flood_of_clients_does_not_fill_the_memory() -> None:
    wrong = WrongKeys(1, Clock())
    for n in range(wrong_keys.MOST_CLIENTS + 1):
        wrong.note(f"client {n}")
    assert wrong.wait_s("client 0") == 0
    assert wrong.wait_s("client 1") > 0
