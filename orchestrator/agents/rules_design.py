"""The workflow designer by rules: parts of a sentence become nodes, in the order in which they stand. Pure.

Nothing is judged and nothing added that the words do not ask for: "let X approve" is an approval, "if …
else …" a decision, "for each …" a map, "… in parallel" branches, "every Friday" a schedule, anything else an
agent's task in the person's own words. Whatever the text, what comes out passes the checks.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from orchestrator.agents.rules_clock import clock
from orchestrator.agents.rules_design_words import (
    APPROVED,
    COUNTS,
    EACH,
    ELSE,
    IF,
    JOINTS,
    LET,
    NAMED,
    PARALLEL,
    PERSON,
    VERBS,
    WITHOUT,
    added,
    pieces,
    plain,
    slug,
    stems,
    task,
    titled,
    where,
    workflow_name,
)
from orchestrator.agents.rules_team import ARRANGING, ROLES
from orchestrator.agents.rules_text import shortened
from orchestrator.artifacts import WorkflowDraft
from orchestrator.ports import AgentInfo, StepInput
from orchestrator.tokens import without_tokens
from orchestrator.workflow import VARIABLES, Workflow
from orchestrator.workflow_text import text_of

MOST_PARTS: Final = 24  # of a text; what is more goes into the last one's task
MOST_BRANCHES: Final = 8
MOST_APPROVALS: Final = 5  # in a row
TEXT_CHARS: Final = 12_000
BY_RULES: Final = "Drafted by rules from your words, without a language model: please look at it twice."
NOTHING: Final = (
    "**Nothing was understood:** no words said what is to be done, so this only answers a request. Reject "
    "it, or ask for changes with the steps, for example: collect the merged changes, write release notes, "
    "let two leads approve."
)
# Agents whose output is a Report: it has an outcome to decide by and items to go over.
REPORTING: Final = ("analysis", "requirements", "summary", "documentation", "coding", "testing")
_RESERVED: Final = VARIABLES | {"true", "false", "null", "none"}


class _Open(NamedTuple):
    """A way that the next node continues."""

    source: str
    when: str = ""


class _Draft:
    """A workflow that grows at its end."""

    def __init__(self, agents: Sequence[AgentInfo]) -> None:
        self._agents = [a for a in agents if a.name not in ARRANGING and a.origin == "file"] or list(agents)
        self.nodes: dict[str, dict[str, Any]] = {}
        self.edges: list[dict[str, Any]] = []
        self.ends: list[_Open] = []
        self.told: list[str] = []
        self.notes: list[str] = []

    # ── parts of a sentence ──────────────────────────────────────────────────────────────────

    def part(self, text: str) -> None:
        """One part: whatever its words say it is."""
        if (found := LET.match(text)) or (found := APPROVED.match(text)):
            who = " ".join(filter(None, (found.groupdict().get("who"), found.groupdict().get("asked"))))
            self._approval(who, text)
        elif found := IF.match(text):
            self._decision(found["condition"], found["yes"])
        elif found := EACH.match(text):
            self._each(found["what"] or found["what2"], found["do"] or found["do2"])
        elif PARALLEL.search(text):
            self._parallel(PARALLEL.sub(" ", text).strip(" ,.:;"))
        else:
            self._work(text)

    def _work(self, text: str, *, ends: list[_Open] | None = None, reports: bool = False, **more: Any) -> str:
        """An agent's node; it continues `ends` (else all), and is the end then."""
        name = self._name(text)
        self.nodes[name] = {
            "kind": "agent",
            **self._who(text, reports),
            "title": titled(text),
            "task": task(text),
            **more,
        }
        self._link(name, self.ends if ends is None else ends)
        if ends is None:
            self.ends = [_Open(name)]
        self.told.append(f"{titled(text)} ({self._said_who(name)})")
        return name

    def _approval(self, who: str, text: str) -> None:
        shown = self._one()
        people = list(dict.fromkeys(PERSON.findall(who)))
        count = next((n for word, n in COUNTS.items() if re.match(rf"\s*{word}\b", who, re.IGNORECASE)), 1)
        found = re.match(r"\s*(\d{1,2})\b", who)
        count = min(max(int(found[1]) if found else count, 1), MOST_APPROVALS)
        for number in range(1, count + 1):
            name = self._name("approval" if count == 1 else f"approval {number}")
            title = "Approval" if count == 1 else f"Approval {number} of {count}"
            node: dict[str, Any] = {"kind": "approval", "title": title, "of": shown, "body": task(text)}
            if people:
                node["approvers"] = people
            self.nodes[name] = node
            self._link(name, self.ends)
            self.edges.append({"from": name, "to": shown, "on": "changes", "max_visits": 3})
            self.ends = [_Open(name)]
        asked = ", ".join(people) or "whoever may approve in the channel"
        self.told.append(
            f"{count} approvals, one after the other, by {asked}" if count > 1 else f"approval by {asked}"
        )
        if who.strip() and not people:
            self.notes.append(
                f"“{shortened(who.strip(), 60)}” names nobody that the bot knows: "
                "write approvers as platform:id, or set the channel's approvers."
            )
        if count > 1:
            self.notes.append("Nothing keeps one person from giving several of these approvals.")

    def _decision(self, condition: str, rest: str) -> None:
        yes, *other = ELSE.split(rest, maxsplit=1)
        no = other[0].strip(" ,.") if other else ""
        check = self._work(f"Check: {condition}", reports=True, outcomes=["yes", "no"])
        choice = self._name("choice")
        self.nodes[choice] = {"kind": "decision", "title": titled(f"{condition}?")}
        self._link(choice, self.ends)
        self.told.append(f"if {shortened(plain(condition), 80)}:")
        ends = self._branch(yes.strip(" ,."), _Open(choice, f'{check}.outcome == "yes"'))
        if no:
            self.told.append("else:")
            ends += self._branch(no, _Open(choice))
        else:
            ends.append(_Open(choice))
        self.ends = ends

    def _branch(self, text: str, begin: _Open) -> list[_Open]:
        """Parts of their own; what ends there."""
        before, self.ends = self.ends, [begin]
        parts = pieces(text) or ["Go on"]
        for piece in parts[:MOST_BRANCHES]:
            if (LET.match(piece) or APPROVED.match(piece)) and self.ends == [begin]:
                self._work("Prepare what is to be approved")
            if IF.match(piece):  # a condition inside of one is left to the agent
                self._work(piece)
            else:
                self.part(piece)
        ends, self.ends = self.ends, before
        return ends

    def _each(self, what: str, do: str) -> None:
        source = self._work(f"List {what}, each as one item", reports=True)
        name = self._name(do)
        self.nodes[name] = {
            "kind": "map", "over": f"{source}.items", **self._who(do), "title": titled(do), "task": task(do),
        }  # fmt: skip
        self._link(name, self.ends)
        self.ends = [_Open(name)]
        self.told.append(f"for each: {titled(do)} ({self._said_who(name)})")

    def _parallel(self, text: str) -> None:
        branches = [p for piece in JOINTS.split(text) if (p := piece.strip(" ,."))][:MOST_BRANCHES]
        if not self.nodes:  # branches need something that they leave
            self._work("Prepare what the next steps need")
        if len(branches) < 2:
            self._work(text or "Go on")
            return
        first = branches[0].split()[0].lower()
        begin = [*self.ends]
        if any(end.when or self.nodes[end.source]["kind"] == "decision" for end in begin):
            begin = [_Open(self._one())]
        self.told.append("at the same time:")
        ends: list[_Open] = []
        for piece in branches:
            # "check the style and the tests in parallel": the verb is said once.
            own = piece.split()[0].lower() in VERBS
            words = piece if own or first not in VERBS else f"{first} {piece}"
            ends.append(_Open(self._work(words, ends=begin)))
        self.ends = ends

    # ── nodes and edges ──────────────────────────────────────────────────────────────────────

    def _one(self) -> str:
        """The one node at the end that made something; several are put together first."""
        if len(self.ends) == 1 and not self.ends[0].when:
            name = self.ends[0].source
            kind = self.nodes[name]["kind"]
            if kind in ("agent", "map"):
                return name
            if kind == "approval":
                return str(self.nodes[name]["of"])
        return self._work("Put the results together" if self.nodes else "Prepare what is to be approved")

    def _link(self, target: str, ends: Sequence[_Open]) -> None:
        for end in ends:
            edge: dict[str, Any] = {"from": end.source, "to": target}
            self.edges.append({**edge, "when": end.when} if end.when else edge)

    def _name(self, text: str) -> str:
        base = slug(text) or "step"
        if base in _RESERVED or keyword.iskeyword(base):
            base = f"{base}_step"
        name, number = base, 2
        while name in self.nodes:
            name, number = f"{base[:36]}_{number}", number + 1
        return name

    def _who(self, text: str, reports: bool = False) -> dict[str, Any]:
        can = {one for agent in self._agents for one in agent.capabilities}
        if reports:
            wanted = [one for one in REPORTING if one in can]
        else:
            called = [r for r in ROLES if re.search(rf"\b(?:{r.words})\b", text, re.IGNORECASE)]
            if called:
                # The word that stands first says what is to be done; later ones say with what.
                called.sort(key=lambda r: where(r.words, text))
            wanted = [one for role in called for one in role.agents if one in can and one != "planning"]
            wanted += [one for one in ("writing", "summary") if one in can]
        if wanted:
            return {"requires": [wanted[0]]}
        return {"agent": self._agents[0].name if self._agents else "builder"}

    def _said_who(self, name: str) -> str:
        node = self.nodes[name]
        if "agent" in node:
            return f"agent {node['agent']}"
        return f"whoever can do {node['requires'][0]}"

    def finish(self) -> dict[str, Any]:
        """What the answer is made of."""
        if not self.nodes:
            self._work("Answer the request")
        if any(self.nodes[end.source]["kind"] == "decision" for end in self.ends):
            self._work("Sum up what was done")
        made = [end.source for end in self.ends]
        made = [str(self.nodes[n].get("of", n)) for n in made]
        made = list(dict.fromkeys(made))
        if len(made) == 1 and self.nodes[made[0]]["kind"] == "agent":
            return {"draft": made[0]}
        return {"sections": made}


def workflow_draft(step: StepInput, agents: Sequence[AgentInfo]) -> WorkflowDraft:
    """A workflow for the request, with what people asked to change.

    Args:
        step: the designer's.
        agents: those there are; nodes name what they can, or one of them.
    """
    text = "\n".join([step.turn.text, *(added(comment) for comment in step.comments)])
    text = without_tokens(plain(text[:TEXT_CHARS], lines=True))
    named = NAMED.search(text)
    if named is not None:
        text = text[: named.start()] + text[named.end() :]
    when = clock(text)
    dropped = [stems(m["what"]) for comment in step.comments if (m := WITHOUT.search(plain(comment)))]
    parts = [p for p in pieces(when.rest) if not any(d and d & stems(p) for d in dropped)]
    if len(parts) > MOST_PARTS:
        parts = [*parts[: MOST_PARTS - 1], ", ".join(parts[MOST_PARTS - 1 :])]
    draft = _Draft(agents)
    for part in parts:
        draft.part(part)
    understood = bool(draft.nodes)
    answer = draft.finish()
    workflow = Workflow.model_validate(
        {
            "name": (slug(named["name"]) if named else "") or workflow_name(when.rest),
            "description": shortened(plain(when.rest), 200) or "Answers the request.",
            "nodes": draft.nodes,
            "edges": draft.edges,
            "answer": answer,
        }
    )
    return WorkflowDraft(
        yaml=text_of(workflow),
        explanation="\n".join(_explained(draft, understood)),
        schedule=when.cron,
        time_zone=when.zone,
    )


def _explained(draft: _Draft, understood: bool) -> Iterator[str]:
    yield BY_RULES
    if not understood:
        yield f"\n{NOTHING}"
    yield ""
    for number, line in enumerate(draft.told, start=1):
        yield f"{number}. {line}"
    if draft.notes:
        yield ""
        yield from (f"- {note}" for note in dict.fromkeys(draft.notes))
