"""Agents of installed packages: loaded only when named, their trouble told, their calls made once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.elsewhere.python import NotLoaded, PythonPlayer, load, load_soon, spec_of
from orchestrator.authoring import AgentFailed, Artifact, Card, Json, Report, Step, Tools, ToolTrouble, agent
from orchestrator.errors import Fenced
from orchestrator.tools.registry import AgentTool
from orchestrator.tools.registry import Tools as BotTools
from tests.elsewhere import surroundings
from tests.unit.agents.steps import MemorySink, step

Install = Callable[..., None]
_packages = iter(range(1_000))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package with entry points, and forget it behind the test."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])

    def do(code: str, **points: str) -> None:
        package = f"quartet_test_package_{next(_packages)}"
        (site / f"{package}.py").write_text(code)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {package}:{what}\n" for name, what in points.items())
        (info / "entry_points.txt").write_text(f"[quartet.agents]\n{lines}")

    return do


GREETER = """
from orchestrator.authoring import Report, Step, Tools, agent, Card

@agent(name="greeter", title="Greeter", capabilities=["greeting"])
async def greeter(step: Step, tools: Tools) -> Report:
    return Report(body=f"Hello {step.person}")

class Clerk:
    def __init__(self):
        self.card = Card(name="clerk", title="Clerk")

    async def run(self, step, tools):
        return {"body": f"{step.request} filed"}
"""


async def play(made: Any, sink: MemorySink | None = None, *, folder: Path, **more: Any) -> Json:
    tools = more.pop("tools", None)
    asked = more.pop("asked", None) or step("own", "hi", **more)
    async with surroundings(folder, tools=tools) as around:
        return await PythonPlayer(spec_of(made, made.card.name), around, made).run(
            asked, sink or MemorySink()
        )


async def test_a_function_and_a_class_play_agents(install: Install, tmp_path: Path) -> None:
    install(GREETER, greeter="greeter", clerk="Clerk")
    assert (await play(await load_soon("greeter"), folder=tmp_path))["body"] == "Hello Ada"
    assert (await play(await load_soon("clerk"), folder=tmp_path))["body"] == "hi filed"
    spec = spec_of(load("greeter"), "greeter")
    assert (spec.title, spec.capabilities, spec.output) == ("Greeter", ("greeting",), "Report")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_module", r"does not load \(ModuleNotFoundError: No module named 'no_such_module'\)"),
        ("1/0", r"does not load \(ZeroDivisionError\); mend the package"),
        ("import sys; sys.exit('secret')", r"does not load \(SystemExit\)"),
        ("def (", r"does not load \(SyntaxError\)"),
        ("x = 1", r"does not load \(AttributeError"),
        ("async def own(step, tools): ...", r"does not load \(AttributeError"),
        (
            "class own:\n card = 'me'\n async def run(self, step, tools): ...",
            "is no agent; it needs a `card`",
        ),
        (
            "from orchestrator.authoring import Card\nclass own:\n card = Card(name='own', title='Own')\n"
            " def run(self, step, tools): ...",
            "is no agent",
        ),
    ],
)
def test_an_agent_that_does_not_load_says_why(install: Install, code: str, message: str) -> None:
    install(code, own="own")
    with pytest.raises(NotLoaded, match=message) as refused:
        load("own")
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_agent_that_nobody_offers_or_two_do_is_told(install: Install) -> None:
    install(GREETER, greeter="greeter")
    with pytest.raises(
        NotLoaded, match=r"no installed package offers an agent 'greter'.*offered are greeter"
    ):
        load("greter")
    install(GREETER, greeter="greeter")
    with pytest.raises(NotLoaded, match="several packages offer an agent 'greeter'"):
        load("greeter")


def test_looking_for_one_agent_imports_no_other(install: Install) -> None:
    install("raise SystemExit", other="own")
    install(GREETER, greeter="greeter")
    before = set(sys.modules)
    load("greeter")
    assert len([name for name in set(sys.modules) - before if name.startswith("quartet_test_package")]) == 1


async def test_an_authors_exception_is_told_by_its_class_alone(tmp_path: Path) -> None:
    @agent(name="own", title="Own")
    async def own(step: Step, tools: Tools) -> Report:
        raise RuntimeError("password 123")

    with pytest.raises(
        AgentFailed, match=r"^Own broke \(RuntimeError\); the log of the bot has the details$"
    ):
        await play(own, folder=tmp_path)

    @agent(name="own", title="Own")
    async def polite(step: Step, tools: Tools) -> Report:
        raise AgentFailed("the garden is locked; open it")

    with pytest.raises(AgentFailed, match=r"^the garden is locked; open it$"):
        await play(polite, folder=tmp_path)


MADE: list[Any] = [None, 7, {"text": "x"}, {"body": ""}, {"body": "x", "issues": [{}]}]


@pytest.mark.parametrize("made", MADE)
async def test_an_answer_that_is_no_artifact_is_refused(made: Any, tmp_path: Path) -> None:
    @agent(name="own", title="Own")
    async def own(step: Step, tools: Tools) -> Any:
        return made

    with pytest.raises(AgentFailed, match=r"Own: its (answer is no )?Report"):
        await play(own, folder=tmp_path)


def finder(calls: list[str]) -> BotTools:
    async def find(words: str) -> str:
        calls.append(words)
        if words == "none":
            raise ToolTrouble("nothing was found")
        return f"found {words}"

    return BotTools([AgentTool("find", "Find.", find, lambda given: f"finding {given['words']}")])


async def test_a_tool_call_that_was_made_before_a_crash_is_not_made_again(tmp_path: Path) -> None:
    @agent(name="own", title="Own", tools=["find"])
    async def own(step: Step, tools: Tools) -> Report:
        first = await tools.call("find", words="cats")
        try:
            await tools.call("find", words="none")
        except ToolTrouble as trouble:
            first += f", {trouble}"
        return Report(body=first)

    calls: list[str] = []
    sink = MemorySink()
    made = await play(own, sink, folder=tmp_path, tools=finder(calls))
    again = await play(own, folder=tmp_path, tools=finder(calls), recorded=sink.recorded())
    assert made == again
    assert made["body"] == "found cats, nothing was found"
    assert calls == ["cats", "none"]
    assert sink.said == ["working", "finding cats", "finding none"]


async def test_a_tool_that_the_card_does_not_name_is_not_offered(tmp_path: Path) -> None:
    @agent(name="own", title="Own")
    async def own(step: Step, tools: Tools) -> Report:
        return Report(body=str(await tools.call("find", words="cats")))

    calls: list[str] = []
    with pytest.raises(AgentFailed, match="ToolTrouble"):
        await play(own, folder=tmp_path, tools=finder(calls))
    assert calls == []


async def test_an_agent_cannot_swallow_that_its_run_is_somebody_elses(tmp_path: Path) -> None:
    @agent(name="own", title="Own", tools=["find"])
    async def own(step: Step, tools: Tools) -> Artifact:
        try:
            await tools.call("find", words="cats")
        except Exception:
            return Report(body="never mind")
        return Report(body="fine")

    with pytest.raises(Fenced):
        await play(own, MemorySink(refuse=Fenced("gone")), folder=tmp_path, tools=finder([]))


async def test_an_agent_saves_where_it_stands_and_goes_on_from_there(tmp_path: Path) -> None:
    @agent(name="own", title="Own")
    async def own(step: Step, tools: Tools) -> Report:
        at = (step.checkpoint or {"at": 0})["at"]
        await tools.checkpoint({"at": at + 1})
        return Report(body=str(at))

    sink = MemorySink()
    await play(own, sink, folder=tmp_path)
    assert sink.saved == [{"at": 1}]
    assert (await play(own, folder=tmp_path, checkpoint=sink.saved[0]))["body"] == "1"


async def test_a_stopped_agent_ends_at_once(tmp_path: Path) -> None:
    begun = asyncio.Event()

    @agent(name="own", title="Own")
    async def own(step: Step, tools: Tools) -> Report:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    work = asyncio.create_task(play(own, folder=tmp_path))
    await asyncio.wait_for(begun.wait(), 5)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(work, 1)


def test_a_card_is_checked_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="there is no output 'Essay'"):
        Card(name="own", title="Own", output="Essay")
