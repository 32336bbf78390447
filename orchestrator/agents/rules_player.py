"""One step of an agent that rules play: searches, the output, both recorded as a model's answers are.

Looks at rules and steps alone, so that a bot without models never loads a model library.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from orchestrator.agents import rules_engine
from orchestrator.agents.computing import Compute
from orchestrator.agents.journal import Journal, output_tool, too_long
from orchestrator.agents.rules_engine import SEARCH
from orchestrator.agents.spec import RULES
from orchestrator.errors import OutputInvalid
from orchestrator.events import Json, ModelAnswered, ToolCall, Usage

OUTPUT: Final = "output"  # the id of the call that gives the output


async def play(journal: Journal, compute: Compute) -> Json:
    """Work on a step.

    Args:
        journal: of this turn; what an earlier try recorded is not done again.
        compute: where the rules do their work.

    Raises:
        StepError: it could not be done.
        Fenced: the run is somebody else's.
    """
    spec = journal.spec
    journal.sink.doing(spec.doing)
    try:
        async with asyncio.timeout(spec.timeout_s):
            return await _played(journal, compute)
    except TimeoutError as error:
        raise too_long(spec) from error


async def _played(journal: Journal, compute: Compute) -> Json:
    spec, step = journal.spec, journal.step
    before = [fact for fact in step.recorded if isinstance(fact, ModelAnswered)]
    made = _given(before)
    searches: list[ToolCall] = []
    if made is None or len(before) > 1:  # else it gave its output at once
        searches = await _searches(journal, before[0] if before else None)
    results = await _results(journal, searches)
    begun = time.monotonic()
    # A mapping of the inputs may be a view, which does not travel.
    sent = replace(step, inputs=dict(step.inputs), outputs=dict(step.outputs))
    worked = await compute(rules_engine.worked, spec, sent, results, tuple(journal.agents), made)
    if worked.made != made:
        journal.call = max([journal.call, *(answer.call for answer in before)])
        call = ToolCall(call_id=OUTPUT, tool=output_tool(spec.output), arguments=worked.made)
        await _answer(journal, [call], time.monotonic() - begun)
    flaw = worked.flaw
    if flaw is None and spec.output == "WorkflowDraft" and journal.draft_flaw is not None:
        flaw = await asyncio.to_thread(journal.draft_flaw, str(worked.made.get("yaml") or ""))
    if flaw:
        raise OutputInvalid(
            f"{spec.title}: what the rules made cannot be used: {' '.join(flaw.split())[:300]}"
        )
    return worked.output


def _given(before: Sequence[ModelAnswered]) -> Json | None:
    """The output that was recorded before a crash."""
    for answer in reversed(before):
        for bit in answer.bits:
            if isinstance(bit, ToolCall) and bit.call_id == OUTPUT:
                return bit.arguments
    return None


async def _searches(journal: Journal, before: ModelAnswered | None) -> list[ToolCall]:
    """The searches that a step begins with, recorded; those that were asked for before a crash again."""
    if before is not None:
        journal.call = before.call
        calls = [bit for bit in before.bits if isinstance(bit, ToolCall) and bit.call_id != OUTPUT]
        return [call for call in calls if call.tool in journal.tools]
    if SEARCH not in journal.tools:
        return []
    found = rules_engine.searches(journal.spec, journal.step)
    calls = [
        ToolCall(call_id=f"search-{n}", tool=SEARCH, arguments=given) for n, given in enumerate(found, 1)
    ]
    if calls:
        await _answer(journal, calls, 0.0)
    return calls


async def _results(journal: Journal, calls: Sequence[ToolCall]) -> list[Any]:
    """What the searches found, in their order, whichever was faster; failures left out."""
    results = (journal.tool_result(call.tool, call.arguments, call.call_id) for call in calls)
    facts = await asyncio.gather(*results, return_exceptions=True)
    found: list[Any] = []
    for fact in facts:
        if isinstance(fact, BaseException):
            raise fact
        if fact.ok:
            found.append(fact.result)
    return found


async def _answer(journal: Journal, bits: Sequence[ToolCall], seconds: float) -> None:
    journal.call += 1
    await journal.sink.record(
        ModelAnswered(
            **journal.place,
            call=journal.call,
            provider=RULES,
            model=RULES,
            bits=tuple(bits),
            usage=Usage(calls=1),
            seconds=round(seconds, 4),
        )
    )
