"""Broken workflow files: each is refused at the line and column marked with ▸, and told what to do."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.documents import read_model, read_text_model
from config.errors import ConfigError, ConfigProblem
from orchestrator.workflow import Workflow
from orchestrator.workflow_checks import MAX_FLAWS, problems

MARK = "▸"
LIMIT_S = 5.0  # of the processor; what is meant to hang takes hours
AGENTS = frozenset({"ada", "bob", "planner"})
CAPABILITIES = frozenset({"research", "writing"})
WORKFLOWS = frozenset({"other", "release"})

# A start that most files share: `a` and `b` work, `ok` asks people.
HEAD = "name: mine\nnodes:\n  a: {kind: agent, agent: ada}\n  b: {kind: agent, agent: bob}\n"
LINE = f"{HEAD}edges:\n- {{from: a, to: b}}\n"


def extra(workflow: Workflow) -> list[tuple[tuple[str | int, ...], str]]:
    found = problems(workflow, agents=AGENTS, capabilities=CAPABILITIES, workflows=WORKFLOWS)
    return [(flaw.path, flaw.message) for flaw in found]


def read(path: Path) -> Workflow:
    return read_model(path, Workflow, extra_check=extra)


def refused(path: Path, text: str) -> tuple[ConfigProblem, ...]:
    path.write_text(text)
    begun = time.process_time()
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert time.process_time() - begun < LIMIT_S
    return caught.value.problems


def problems_of(text: str) -> tuple[ConfigProblem, ...]:
    try:
        read_text_model(text, "mine.yaml", Workflow, extra_check=extra)
    except ConfigError as error:
        return error.problems
    return ()


def when(condition: str) -> str:
    return f"{HEAD}edges:\n- from: a\n  to: b\n  {MARK}when: {condition}\n"


def task(text: str) -> str:
    return f"name: mine\nnodes:\n  a:\n    kind: agent\n    agent: ada\n    {MARK}task: {text}\n"


def schema(text: str) -> str:
    return f"name: mine\nnodes: {{a: {{kind: agent, agent: ada}}}}\ninputs:\n{text}\n"


# name: (text with the mark, words of what is wrong, words of what to do)
BROKEN: dict[str, tuple[str, str, str]] = {
    # ── the file ──
    "no name": (f"{MARK}nodes:\n  a: {{kind: decision}}\n", "'name' is missing", "add `name:`"),
    "a name with a blank": (
        f"{MARK}name: my flow\nnodes: {{a: {{kind: decision}}}}\n",
        "match",
        "small letters",
    ),
    "a number as version": (
        f"name: mine\n{MARK}version: 2\nnodes: {{a: {{kind: decision}}}}\n",
        "string",
        "in quotes",
    ),
    "a version with a blank": (
        f"name: mine\n{MARK}version: 'one two'\nnodes: {{a: {{kind: decision}}}}\n",
        "match",
        "correct",
    ),
    "no nodes": ("name: mine\n" + MARK + "nodes: {}\n", "at least 1 item", "at least one"),
    "nodes as a list": (f"name: mine\n{MARK}nodes: [a]\n", "is no section", "`key: value`"),
    "an unknown key": (HEAD + MARK + "egdes: []\n", "'egdes' is unknown", "'edges'"),
    "the same node twice": (
        "name: mine\nnodes:\n  a: {kind: decision}\n  " + MARK + "a: {kind: decision}\n",
        "twice",
        "remove one",
    ),
    "a tab": ("name: mine\nnodes:\n" + MARK + "\ta: {kind: decision}\n", "tab", "spaces"),
    "a Python object": (
        f"name: {MARK}!!python/object/apply:os.system ['true']\nnodes: {{}}\n",
        "tag",
        "remove the tag",
    ),
    "a second document": (
        f"{HEAD}{MARK}---\nname: other\n",
        "second document",
        "one document",
    ),
    # ── nodes ──
    "an unknown kind": (
        f"name: mine\nnodes:\n  a: {{{MARK}kind: agnet, agent: ada}}\n",
        "'agnet'",
        "did you mean 'agent'?",
    ),
    "no kind": (f"name: mine\nnodes:\n  {MARK}a: {{agent: ada}}\n", "'kind' is missing", "add `kind:`"),
    "a node with a capital": (
        f"name: mine\nnodes:\n  {MARK}Build: {{kind: decision}}\n",
        "match",
        "small letters",
    ),
    "a node called like a variable": (
        f"name: mine\nnodes:\n  {MARK}inputs: {{kind: agent, agent: ada}}\n",
        "word of conditions",
        "another name",
    ),
    "a node called like an operator": (
        f"name: mine\nnodes:\n  {MARK}not: {{kind: agent, agent: ada}}\n",
        "word of conditions",
        "another name",
    ),
    "an unknown agent": (
        f"name: mine\nnodes:\n  a: {{kind: agent, {MARK}agent: planer}}\n",
        "no agent 'planer'",
        "did you mean 'planner'?",
    ),
    "a capability nobody has": (
        f"name: mine\nnodes:\n  a: {{kind: agent, requires: [{MARK}reserch]}}\n",
        "capability 'reserch'",
        "did you mean 'research'?",
    ),
    "nobody who works": (
        f"name: mine\nnodes:\n  {MARK}a: {{kind: agent}}\n",
        "nobody works in 'a'",
        "agent: name",
    ),
    "two who work": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, {MARK}requires: [writing]}}\n",
        "`agent` and `requires`",
        "write one of",
    ),
    "wishes without needs": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, {MARK}prefers: [writing]}}\n",
        "chooses among",
        "add `requires",
    ),
    "a team without a member": (
        f"{HEAD}  c: {{kind: agent, agent: ada, {MARK}team: a}}\n"
        f"edges: [{{from: a, to: b}}, {{from: b, to: c}}]\n",
        "needs the name of a member",
        "add `agent_from",
    ),
    "a team that is no node": (
        f"{HEAD}  c: {{kind: agent, agent_from: b.member, {MARK}team: x}}\n"
        "edges: [{from: a, to: b}, {from: b, to: c}]\n",
        "no node 'x'",
        "nodes are a, b, c",
    ),
    "a map over an unknown workflow": (
        f"name: mine\nnodes:\n  a: {{kind: map, over: inputs.list, {MARK}workflow: othr}}\n",
        "no workflow 'othr'",
        "did you mean 'other'?",
    ),
    "a map without a list": (
        f"name: mine\nnodes:\n  {MARK}a: {{kind: map, agent: ada}}\n",
        "'over' is missing",
        "add `over:`",
    ),
    "a map that nobody works on": (
        f"name: mine\nnodes:\n  {MARK}a: {{kind: map, over: inputs.list}}\n",
        "nobody works",
        "`workflow: name`",
    ),
    "a map with a task for a workflow": (
        f"name: mine\nnodes:\n  a: {{kind: map, over: inputs.list, workflow: other, {MARK}task: Do it}}\n",
        "for agents",
        "`inputs:`",
    ),
    "inputs for an agent": (
        f"name: mine\nnodes:\n  a: {{kind: map, over: inputs.list, agent: ada, {MARK}inputs: {{x: 1}}}}\n",
        "only a workflow takes inputs",
        "`task:`",
    ),
    "an approval of nothing": (
        f"{HEAD}  ok: {{kind: approval, {MARK}of: c}}\nedges: [{{from: a, to: b}}, {{from: b, to: ok}}]\n",
        "no node 'c'",
        "nodes are a, b, ok",
    ),
    "an approval of a decision": (
        f"name: mine\nnodes:\n  d: {{kind: decision}}\n  ok: {{kind: approval, {MARK}of: d}}\n"
        "edges: [{from: d, to: ok}]\n",
        "makes nothing",
        "name a node that does",
    ),
    "an approval before the work": (
        f"name: mine\nnodes:\n  ok: {{kind: approval, {MARK}of: a}}\n  a: {{kind: agent, agent: ada}}\n"
        "edges: [{from: ok, to: a}]\n",
        "need not have ended",
        "let an edge lead from 'a' to 'ok'",
    ),
    "an approval with a timeout": (
        f"{HEAD}  ok: {{kind: approval, of: a, {MARK}timeout: 60}}\n"
        f"edges: [{{from: a, to: b}}, {{from: b, to: ok}}]\n",
        "does no work",
        "expires_after",
    ),
    "a decision that is tried again": (
        f"{HEAD}  d: {{kind: decision, {MARK}retry: {{max_retries: 2}}}}\n"
        "edges: [{from: a, to: b}, {from: b, to: d}]\n",
        "nothing to try again",
        "remove `retry`",
    ),
    "a question without words": (
        f"name: mine\nnodes:\n  a: {{kind: input, {MARK}question: ''}}\n",
        "at least 1 character",
        "write something",
    ),
    "retries for a thousand years": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, {MARK}retry: "
        "{max_retries: 10, initial_delay: 3600, backoff: 10}}\n",
        "more than a day",
        "lower max_retries",
    ),
    "too many retries": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, retry: {{{MARK}max_retries: 99}}}}\n",
        "less than",
        "at most 10",
    ),
    "an endless timeout": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, {MARK}timeout: .inf}}\n",
        "less than or equal",
        "at most",
    ),
    "a negative timeout": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, {MARK}timeout: -1}}\n",
        "greater than 0",
        "more than 0",
    ),
    "an unknown priority": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, {MARK}priority: hihg}}\n",
        "'hihg'",
        "did you mean 'high'?",
    ),
    "the same outcome twice": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, outcomes: [passed, {MARK}passed]}}\n",
        "twice",
        "remove one",
    ),
    "an outcome of many words": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, outcomes: [{MARK}'a: b; c']}}\n",
        "match",
        "correct",
    ),
    # ── where it begins ──
    "a start that is no node": (f"{MARK}start: c\n{LINE}", "no node 'c'", "nodes are a, b"),
    "one start of several that is no node": (f"start: [a, {MARK}c]\n{LINE}", "no node 'c'", "nodes are a, b"),
    "the same start twice": (f"start: [a, {MARK}a]\n{LINE}", "twice", "remove one"),
    "an empty list of starts": (f"{MARK}start: []\n{LINE}", "no node begins", "name the first one"),
    "a start that is an error handler": (
        f"{MARK}start: h\n{HEAD}  h: {{kind: error_handler}}\n"
        f"edges: [{{from: h, to: a}}, {{from: a, to: b}}]\n",
        "an error handler",
        "name another",
    ),
    "everybody waits for another": (
        f"name: mine\n{MARK}nodes:\n  a: {{kind: agent, agent: ada, depends_on: [b]}}\n"
        "  b: {kind: agent, agent: bob}\nedges: [{from: a, to: b, max_visits: 2}]\n",
        "no node begins",
        "`start: name`",
    ),
    # ── edges ──
    "an edge to nowhere": (
        f"{HEAD}edges:\n- {{from: a, to: b}}\n- {{from: b, {MARK}to: c}}\n",
        "no node 'c'",
        "nodes are a, b",
    ),
    "an edge from nowhere": (f"{LINE}- {{{MARK}from: c, to: b}}\n", "no node 'c'", "nodes are a, b"),
    "an edge without an end": (f"{HEAD}edges:\n- {MARK}{{from: a}}\n", "'to' is missing", "add `to:`"),
    "an edge for an unknown outcome": (
        f"{HEAD}edges:\n- {{from: a, to: b, {MARK}on: eror}}\n",
        "'eror'",
        "did you mean 'error'?",
    ),
    "a dependency that is no node": (
        f"name: mine\nnodes:\n  build: {{kind: agent, agent: ada}}\n"
        f"  test: {{kind: agent, agent: bob, depends_on: [build, {MARK}biuld]}}\n",
        "no node 'biuld'",
        "did you mean 'build'?",
    ),
    "the same edge twice": (f"{LINE}- {MARK}{{from: a, to: b}}\n", "twice in the same way", "remove one"),
    "changes of an agent": (
        f"{HEAD}edges:\n- {{from: a, to: b, {MARK}on: changes}}\n",
        "only approvals have edges",
        "remove `on`",
    ),
    "a rejection by a map": (
        f"name: mine\nnodes:\n  a: {{kind: map, over: inputs.list, agent: ada}}\n"
        f"  b: {{kind: agent, agent: bob}}\n"
        f"edges:\n- {{from: a, to: b, {MARK}on: rejected}}\n",
        "only approvals and inputs",
        "remove `on`",
    ),
    "an error of a decision": (
        f"{HEAD}  d: {{kind: decision}}\nedges:\n- {{from: a, to: d}}\n"
        f"- {{from: d, to: b, {MARK}on: error}}\n",
        "no work that can fail",
        "remove `on: error`",
    ),
    "with and without a condition": (
        f"{HEAD}  c: {{kind: agent, agent: ada}}\nedges:\n- {{from: a, to: b, when: a.good}}\n"
        f"- {MARK}{{from: a, to: c}}\n",
        "with and without a condition",
        "kind decision",
    ),
    "with a condition and a dependency": (
        f"{HEAD}  c: {{kind: agent, agent: ada, depends_on: [{MARK}a]}}\nedges:\n"
        f"- {{from: a, to: b, when: a.good}}\n",
        "with and without a condition",
        "kind decision",
    ),
    "a decision that never gets there": (
        f"{HEAD}  d: {{kind: decision}}\nedges:\n- {{from: a, to: d}}\n- {{from: d, to: a, max_visits: 2}}\n"
        f"- {{from: d, to: b}}\n- {MARK}{{from: d, to: a, when: a.bad, max_visits: 1}}\n",
        "never takes this edge",
        "put it first",
    ),
    "a decision alone": (
        f"name: mine\nnodes:\n  {MARK}d: {{kind: decision}}\n",
        "no ways to choose from",
        "add edges",
    ),
    "a join of more than there are": (
        f"{HEAD}  c: {{kind: agent, agent: ada, {MARK}join: 3}}\nstart: [a, b]\n"
        "edges: [{from: a, to: c}, {from: b, to: c}]\n",
        "only 2 nodes lead to it",
        "up to 2",
    ),
    "a join of nothing": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, {MARK}join: 1}}\n",
        "nothing leads to it",
        "remove `join`",
    ),
    "the first branch in a loop": (
        f"{HEAD}  c: {{kind: agent, agent: ada, {MARK}join: any}}\nstart: [a, b]\n"
        "edges: [{from: a, to: c}, {from: b, to: c}, {from: c, to: a, max_visits: 2}]\n",
        "part of a loop",
        "a workflow of its own",
    ),
    "some branches in a loop": (
        f"{HEAD}  c: {{kind: agent, agent: ada, {MARK}join: 2}}\nstart: [a, b]\n"
        "edges: [{from: a, to: c}, {from: b, to: c}, {from: c, to: a, max_visits: 2}]\n",
        "part of a loop",
        "a workflow of its own",
    ),
    "a limit for a whole workflow": (
        f"name: mine\nnodes:\n  a: {{kind: workflow, workflow: other, {MARK}timeout: 5}}\n",
        "runs another workflow",
        "nodes inside",
    ),
    "a limit for workflows of a map": (
        f"name: mine\nnodes:\n  a: {{kind: map, over: '[1]', workflow: other, {MARK}timeout: 5}}\n",
        "runs another workflow",
        "nodes inside",
    ),
    "an agent that chooses who approves it": (
        f"{HEAD}  ok: {{kind: approval, of: b, {MARK}approvers_from: a.items}}\n"
        "edges: [{from: a, to: b}, {from: b, to: ok}]\n",
        "lets a choose who approves",
        "read inputs alone",
    ),
    "an input that is not declared": (
        "inputs: {properties: {x: {type: string}}}\n" + task("'{{ inputs.nope }}'"),
        "unknown input 'nope'",
        "inputs are text, x",
    ),
    "an input without any schema": (task("'{{ inputs.tone }}'"), "unknown input 'tone'", "declare it"),
    "an input that is almost declared": (
        "inputs: {properties: {notes: {type: string}}}\n" + task("'{{ inputs.note }}'"),
        "unknown input 'note'",
        "did you mean 'notes'?",
    ),
    "a join of some": (
        f"{HEAD}  c: {{kind: agent, agent: ada, {MARK}join: some}}\nedges: []\n",
        "'some'",
        "all, any",
    ),
    "a join of none": (
        f"{HEAD}  c: {{kind: agent, agent: ada, {MARK}join: 0}}\nedges: []\n",
        "greater than or equal to 1",
        "at least 1",
    ),
    # ── reach and loops ──
    "a node that nothing leads to": (
        f"{HEAD}  {MARK}c: {{kind: agent, agent: ada}}\nedges: [{{from: a, to: b}}]\n",
        "no edge leads to 'c'",
        "add one",
    ),
    "an island": (
        f"{HEAD}  {MARK}c: {{kind: agent, agent: ada}}\n  d: {{kind: agent, agent: ada}}\n"
        "edges: [{from: a, to: b}, {from: c, to: d}, {from: d, to: c, max_visits: 1}]\n",
        "'c' is never reached",
        "add an edge to it",
    ),
    "an error handler for nobody": (
        f"{HEAD}  {MARK}h: {{kind: error_handler}}\nedges: [{{from: a, to: b}}]\n",
        "no edge leads to the error handler",
        "on: error",
    ),
    "a node that leads to itself": (
        f"{LINE}- {MARK}{{from: b, to: b}}\n",
        "loop through b never ends",
        "max_visits",
    ),
    "an endless loop": (
        f"{LINE}- {MARK}{{from: b, to: a}}\n",
        "loop through a, b never ends",
        "max_visits on this edge",
    ),
    "an endless loop with a condition": (
        f"{LINE}- {MARK}{{from: b, to: a, when: b.score < 7}}\n",
        "never ends",
        "max_visits",
    ),
    "an endless loop of errors": (
        f"{LINE}- {MARK}{{from: b, to: a, on: error}}\n",
        "never ends",
        "max_visits",
    ),
    "an endless loop behind another": (
        f"{LINE}- {{from: b, to: a, max_visits: 2}}\n- {MARK}{{from: b, to: b}}\n",
        "through b never",
        "max_visits",
    ),
    "an endless loop of dependencies": (
        f"start: a\nname: mine\nnodes:\n  a: {{kind: agent, agent: ada, depends_on: [{MARK}b]}}\n"
        "  b: {kind: agent, agent: bob, depends_on: [a]}\n",
        "never ends",
        "write the way as an edge with a limit: {from: b, to: a",
    ),
    "an endless loop in a sequence": (
        f"strategy: sequential\n{HEAD}  c: {{kind: agent, agent: ada}}\nedges:\n- {MARK}{{from: c, to: a}}\n",
        "loop through a, b, c",
        "max_visits",
    ),
    # ── undoing ──
    "undone by nobody": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, {MARK}compensation: c}}\n",
        "no node 'c'",
        "nodes are a",
    ),
    "undone by itself": (
        f"name: mine\nstart: a\nnodes:\n  a: {{kind: agent, agent: ada, {MARK}compensation: a}}\n",
        "itself",
        "another node",
    ),
    "undone by a decision": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, {MARK}compensation: d}}\n"
        f"  d: {{kind: decision}}\n",
        "only agents undo",
        "kind agent",
    ),
    "undoing that is undone": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, compensation: b}}\n"
        f"  b: {{kind: agent, agent: bob, {MARK}compensation: c}}\n  c: {{kind: agent, agent: bob}}\n",
        "is not undone itself",
        "remove its `compensation`",
    ),
    "an edge to what undoes": (
        f"name: mine\nnodes:\n  a: {{kind: agent, agent: ada, compensation: b}}\n"
        f"  b: {{kind: agent, agent: bob}}\n"
        f"edges:\n- {{from: a, {MARK}to: b}}\n",
        "runs only for that",
        "remove this way",
    ),
    "a start that undoes": (
        f"{MARK}start: b\nname: mine\nnodes:\n  a: {{kind: agent, agent: ada, compensation: b}}\n"
        "  b: {kind: agent, agent: bob}\nedges: [{from: b, to: a}]\n",
        "which undoes",
        "name another",
    ),
    "nothing to undo": (
        f"{HEAD}  h: {{kind: error_handler, {MARK}compensate: true}}\nedges: [{{from: a, to: b}}, "
        "{from: a, to: h, on: error}]\n",
        "nothing to undo",
        "`compensation: node`",
    ),
    # ── the answer ──
    "an answer of nothing": (f"{LINE}{MARK}answer: {{}}\n", "nothing in it", "`draft: name`"),
    "a draft of nobody": (f"{LINE}answer: {{{MARK}draft: c}}\n", "no node 'c'", "nodes are a, b"),
    "a section of nobody": (f"{LINE}answer: {{sections: [a, {MARK}c]}}\n", "no node 'c'", "nodes are a, b"),
    "the same section twice": (
        f"{LINE}answer: {{sections: [a, {MARK}a]}}\n",
        "a section twice",
        "remove one",
    ),
    "an answer by a decision": (
        f"{HEAD}  d: {{kind: decision}}\nedges: [{{from: a, to: b}}, {{from: b, to: d}}]\n"
        f"answer: {{{MARK}draft: d}}\n",
        "makes nothing",
        "name a node that does",
    ),
    # ── conditions ──
    "a condition with a slip": (when("b.score <"), "not an expression", "write for example"),
    "no condition at all": (when("''"), "not an expression", "write for example"),
    "a condition about nobody": (when("aa.score < 7"), "unknown name 'aa'", "known are a, b"),
    "a condition about the future": (when("b.score < 7"), "need not have ended", "visits.b > 0"),
    "a condition with an assignment": (when("'a.x = 1'"), "not an expression", "write for example"),
    "a condition with two": (when("'a.x; a.y'"), "not an expression", "write for example"),
    "a misspelt policy": (
        when("a.score < policies.min_scor"),
        "policy 'min_scor'",
        "did you mean 'min_score'?",
    ),
    "visits of nobody": (when("visits.c > 1"), "unknown node 'c'", "nodes are a, b"),
    "an outcome that there is not": (
        "name: mine\nnodes:\n  a: {kind: agent, agent: ada, outcomes: [passed, failed]}\n"
        "  b: {kind: agent, agent: bob}\n"
        f"edges:\n- from: a\n  to: b\n  {MARK}when: a.outcome in ['passed', 'faild']\n",
        "never 'faild'",
        "did you mean 'failed'?",
    ),
    "a choice that there is not": (
        "name: mine\ninputs: {properties: {env: {enum: [staging, production]}}}\nnodes:\n"
        "  a: {kind: agent, agent: ada}\n"
        "  b: {kind: agent, agent: bob}\n"
        f"edges:\n- from: a\n  to: b\n  {MARK}when: \"'prod' == inputs.env\"\n",
        "never 'prod'",
        "choices are staging, production",
    ),
    "an item outside of a map": (when("item.good"), "only in a map", "name a node"),
    "a problem before any": (when("problem.node == 'a'"), "only after an error", "on: error"),
    "a condition without end": (when("a.x" + " + 1" * 200), "longer than 500", "write for example"),
    "a function that is not called": (when("max"), "unknown name 'max'", "known are"),
    "an unknown function": (when("sum(a.scores) > 1"), "calls 'sum'", "functions are abs"),
    "the insides of Python by class": (when("a.__class__"), "begin with _", "write for example"),
    "the insides of Python by a tuple": (
        when('"().__class__.__bases__[0].__subclasses__()"'),
        "calls a method",
        "write for example",
    ),
    "the insides of Python by import": (
        when("\"__import__('os').system('id')\""),
        "calls",
        "write for example",
    ),
    "the insides of Python by getattr": (when("\"getattr(a, 'x')\""), "calls 'getattr'", "functions are"),
    "the insides of Python by a method": (
        when("a.body.upper() == 'X'"),
        "calls a method",
        "write for example",
    ),
    "the insides of Python by format": (
        when("\"'{0.__class__}'.format(a)\""),
        "calls a method",
        "write for example",
    ),
    "the insides of Python by an f-string": (when("\"f'{a.__class__}'\""), "JoinedStr", "write for example"),
    "the insides of Python by lambda": (when("'lambda: 1'"), "Lambda", "write for example"),
    "the insides of Python by a list": (when("'[x for x in a.items]'"), "ListComp", "write for example"),
    "the insides of Python by a walrus": (when("'(y := a)'"), "NamedExpr", "write for example"),
    "the insides of Python by star": (when("'max(*a.items)'"), "Starred", "write for example"),
    "the insides of Python by other letters": (
        when("'a.＿＿class＿＿'"),
        "not an expression",
        "write for example",
    ),
    "the insides of Python by globals": (when("'globals()'"), "calls 'globals'", "functions are"),
    "a power that fills the memory": (when("'9 ** 9 ** 9 > 1'"), "Pow", "write for example"),
    "a shift that fills the memory": (when("'1 << 99999999'"), "LShift", "write for example"),
    "a subscript that slices": (when("'a.body[0:9999999]'"), "Slice", "write for example"),
    # ── templates ──
    "a task about nobody": (task("'Mend {{ nobody.x }}'"), "unknown name 'nobody'", "known are a"),
    "a task that is not closed": (task("'Mend {{ inputs.text'"), "without closing", "write {{ expression }}"),
    "a task that opens without end": (
        task("'" + "{{" * 20_000 + "'"),
        "without closing",
        "write {{ expression }}",
    ),
    "a task with nothing in it": (task("'Mend {{ }} now'"), "not an expression", "write for example"),
    "a task that reaches inside": (task("'{{ inputs.__class__ }}'"), "begin with _", "write for example"),
    "a task that imports": (task("\"{{ __import__('os').environ }}\""), "calls", "functions are"),
    "a task that calls a method": (
        task("'{{ inputs.text.format(inputs) }}'"),
        "calls a method",
        "write for example",
    ),
    "a task that prints settings": (task("'{{ config.items() }}'"), "calls a method", "write for example"),
    "a task about its own result": (task("'Mend {{ a.body }}'"), "need not have ended", "visits.a > 0"),
    "a body that reaches inside": (
        f"{HEAD}  ok:\n    kind: approval\n    of: b\n    {MARK}body: 'See {{{{ b._secret }}}}'\n"
        "edges: [{from: a, to: b}, {from: b, to: ok}]\n",
        "begin with _",
        "write for example",
    ),
    "a question about an item": (
        f"name: mine\nnodes:\n  q:\n    kind: input\n    {MARK}question: 'And {{{{ item }}}}?'\n",
        "only in a map",
        "name",
    ),
    "approvers by a slip": (
        f"{HEAD}  ok: {{kind: approval, of: b, {MARK}approvers_from: 'inputs.'}}\n"
        "edges: [{from: a, to: b}, {from: b, to: ok}]\n",
        "not an expression",
        "write for example",
    ),
    "a map over a slip": (
        f"name: mine\nnodes:\n  a: {{kind: map, agent: ada, {MARK}over: 'plan.tasks'}}\n",
        "unknown name 'plan'",
        "known are a",
    ),
    "a map over its own items": (
        f"name: mine\nnodes:\n  a: {{kind: map, agent: ada, {MARK}over: item.parts}}\n",
        "only in a map",
        "name",
    ),
    "a misspelt input": (
        f"inputs: {{type: object, properties: {{version: {{type: string}}}}}}\n"
        f"{task('{{ inputs.versoin }}').replace('{{', '{{').replace('task: ', 'task: Take ')}",
        "unknown input 'versoin'",
        "did you mean 'version'?",
    ),
    "inputs of a workflow that reach inside": (
        f"name: mine\nnodes:\n"
        "  a: {kind: workflow, workflow: other, inputs: {list: [one, "
        f"{MARK}'{{{{ visits.__dict__ }}}}']}}}}\n",
        "begin with _",
        "write for example",
    ),
    # ── other workflows ──
    "an unknown workflow": (
        f"name: mine\nnodes:\n  a: {{kind: workflow, {MARK}workflow: relase}}\n",
        "no workflow 'relase'",
        "'release'",
    ),
    "a workflow inside of itself": (
        f"name: mine\nnodes:\n  a: {{kind: workflow, {MARK}workflow: mine}}\nworkflows: {{}}\n",
        "inside of itself",
        "name another workflow",
    ),
    "workflows through each other": (
        f"name: mine\nnodes:\n  a: {{kind: workflow, {MARK}workflow: inner}}\nworkflows:\n  inner:\n"
        f"    name: inner\n    inputs: {{properties: {{list: {{type: array}}}}}}\n"
        "    nodes: {x: {kind: map, over: inputs.list, workflow: mine}}\n",
        "inside of itself through 'inner'",
        "name another workflow",
    ),
    "a workflow by another name": (
        f"name: mine\nnodes:\n  a: {{kind: workflow, workflow: inner}}\nworkflows:\n  inner:\n"
        f"    {MARK}name: innr\n"
        "    nodes: {x: {kind: agent, agent: ada}}\n",
        "calls itself 'innr'",
        "write one name",
    ),
    "a flaw in an inner workflow": (
        f"name: mine\nnodes:\n  a: {{kind: workflow, workflow: inner}}\nworkflows:\n  inner:\n"
        f"    name: inner\n"
        f"    nodes: {{x: {{kind: agent, {MARK}agent: adda}}}}\n",
        "no agent 'adda'",
        "did you mean 'ada'?",
    ),
    "an input that the inner workflow lacks": (
        f"name: mine\nnodes:\n  a: {{kind: workflow, workflow: inner, inputs: {{{MARK}verison: '1'}}}}\n"
        f"workflows:\n"
        "  inner:\n    name: inner\n    inputs: {properties: {version: {type: string}}}\n"
        "    nodes: {x: {kind: agent, agent: ada}}\n",
        "no input 'verison'",
        "did you mean 'version'?",
    ),
    "an input that the inner workflow needs": (
        f"name: mine\nnodes:\n  a: {{kind: workflow, {MARK}workflow: inner}}\nworkflows:\n  inner:\n"
        f"    name: inner\n"
        "    inputs: {properties: {version: {type: string}}, required: [version]}\n"
        "    nodes: {x: {kind: agent, agent: ada}}\n",
        "needs the input 'version'",
        "add it to `inputs:`",
    ),
    # ── the schema of the inputs ──
    "inputs that are a text": (schema(f"  {MARK}type: string"), "an object", "`type: object`"),
    "inputs without `properties`": (
        schema(f"  {MARK}version: {{type: string}}"),
        "beside the keywords",
        "below `properties:`",
    ),
    "an input of an unknown type": (
        schema(f"  properties: {{version: {{{MARK}type: strng}}}}"),
        "no type 'strng'",
        "did you mean 'string'?",
    ),
    "an input with a misspelt keyword": (
        schema(f"  properties: {{version: {{type: string, {MARK}defualt: '1'}}}}"),
        "'defualt'",
        "did you mean 'default'?",
    ),
    "an input that is needed and unknown": (
        schema(f"  properties: {{version: {{type: string}}}}\n  {MARK}required: [versoin]"),
        "'versoin'",
        "did you mean 'version'?",
    ),
    "an input by a name with a blank": (
        schema(f"  properties: {{{MARK}my version: {{type: string}}}}"),
        "cannot be the name",
        "letters, digits",
    ),
    "a default that is not allowed": (
        schema(f"  properties: {{n: {{type: integer, {MARK}default: many}}}}"),
        "not allowed by this very schema",
        "mend",
    ),
    "a limit that is a text": (
        schema(f"  properties: {{n: {{type: integer, {MARK}minimum: one}}}}"),
        "no JSON Schema",
        "correct it",
    ),
    "a schema from elsewhere": (
        schema(f"  properties: {{n: {{{MARK}$ref: 'https://example.com/s.json'}}}}"),
        "nothing is ever fetched",
        "#/$defs",
    ),
    "a schema from a file": (
        schema(f"  properties: {{n: {{{MARK}$ref: 'file:///etc/passwd'}}}}"),
        "nothing is ever fetched",
        "#/$defs",
    ),
    "a reference to nothing": (
        schema(f"  properties: {{n: {{{MARK}$ref: '#/$defs/x'}}}}"),
        "no definition 'x'",
        "definitions are none",
    ),
    "a pattern that cannot be used": (
        schema(f"  properties: {{n: {{type: string, {MARK}pattern: '(?=a)b'}}}}"),
        "no pattern",
        "regular expression",
    ),
    "a pattern that fills the memory": (
        schema(f"  properties: {{n: {{type: string, {MARK}pattern: '((a{{1000}}){{1000}}){{1000}}'}}}}"),
        "no pattern",
        "regular",
    ),
    "an unknown format": (
        schema(f"  properties: {{n: {{type: string, {MARK}format: emial}}}}"),
        "no format 'emial'",
        "did you mean 'email'?",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_workflow_is_refused_at_its_line_with_a_remedy(name: str, tmp_path: Path) -> None:
    marked, wrong, remedy = BROKEN[name]
    assert marked.count(MARK) == 1
    before = marked[: marked.index(MARK)]
    place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    file = tmp_path / "mine.yaml"
    found = refused(file, marked.replace(MARK, ""))
    said = [str(problem) for problem in found]
    assert {problem.file for problem in found} == {str(file)}
    assert all(problem.message and problem.remedy for problem in found), said
    assert all("\n" not in line and len(line) < 3000 for line in said), said
    here = [problem for problem in found if (problem.line, problem.column) == place]
    assert any(wrong in problem.message and remedy in problem.remedy for problem in here), (place, said)
    # One slip is one problem: what follows from it is not told as well.
    assert len(found) <= 2, said


def test_there_are_many_ways_to_be_broken() -> None:
    assert len(BROKEN) >= 100
    inside = [name for name in BROKEN if "inside" in name or "fills the memory" in name]
    assert len(inside) >= 20


def test_what_the_broken_files_begin_with_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(LINE)
    assert len(read(file).nodes) == 2


BOMBS = {
    "aliases": "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 10)}]\n" for i in range(9)),
    "merged mappings": "x: &x {a: 1}\n" + "y: {<<: *x, <<: *x}\n",
    "an alias of itself": "name: mine\nnodes: &n {a: *n}\n",
    "brackets": "name: " + "[" * 200_000,
    "braces": "name: " + "{a: " * 50_000,
    "a node a line": "name: mine\nnodes:\n" + "".join(f"  n{i}: {{kind: decision}}\n" for i in range(20_000)),
    "too many nodes": "name: mine\nnodes:\n" + "".join(f"  n{i}: {{kind: decision}}\n" for i in range(1_001)),
    "edges without end": LINE + "- {from: a, to: b}\n" * 15_000,
    "a long text": "name: mine\ndescription: " + "x" * 1_100_000,
    "a long key": "name: mine\n" + "k" * 100_000 + ": 1\n",
    "a long expression": when("a.x" + " and a.x" * 20_000).replace(MARK, ""),
    "deep parentheses": when("(" * 450 + "a" + ")" * 40).replace(MARK, ""),
    "many expressions": task("'" + "{{ x }} " * 20_000 + "'").replace(MARK, ""),
    "a schema that grows": schema(
        "  properties: {n: {$ref: '#/$defs/d0'}}\n  $defs:\n"
        + "".join(
            f"    d{i}: {{allOf: [{{$ref: '#/$defs/d{i + 1}'}}, {{$ref: '#/$defs/d{i + 1}'}}]}}\n"
            for i in range(30)
        )
        + "    d30: {type: string}\n"
    ),
    "a schema that goes round": schema(
        "  properties: {n: {$ref: '#/$defs/d'}}\n  $defs: {d: {anyOf: [{$ref: '#/$defs/d'}]}}"
    ),
    "a deep schema": schema("  properties: {n: " + "{items: " * 30 + "{}" + "}" * 30 + "}"),
    "a zero byte": "name: mi\x00ne\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_soon_and_in_few_words(name: str, tmp_path: Path) -> None:
    found = refused(tmp_path / "mine.yaml", BOMBS[name])
    assert 1 <= len(found) <= MAX_FLAWS
    assert all(problem.message and problem.remedy for problem in found)
    assert sum(len(str(problem)) for problem in found) < 100_000


# ── anything at all ──────────────────────────────────────────────────────────────────────────

NAMES = st.sampled_from(["a", "b", "c", "d", "inputs", "Not Good", "x" * 50])
TEXTS = st.one_of(
    st.sampled_from(
        ["a.score < 7", "{{ a.body }}", "visits.a > 1", "item", "__import__('os')", "{{", "on", "sequential"]
    ),
    NAMES,
    st.text(max_size=20),
)
KINDS = st.sampled_from(
    ["agent", "map", "workflow", "decision", "approval", "input", "error_handler", "magic"]
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
FIELDS = [
    "title",
    "agent",
    "requires",
    "agent_from",
    "team",
    "task",
    "over",
    "of",
    "workflow",
    "question",
    "retry",
    "timeout",
    "join",
    "depends_on",
    "compensation",
    "compensate",
    "inputs",
    "outcomes",
    "body",
    "approvers_from",
]


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents that look like workflows, with anything in their fields."""

    def some(keys: list[str], most: int) -> dict[str, Any]:
        return draw(st.dictionaries(st.sampled_from(keys), VALUES, max_size=most))

    names = draw(st.lists(NAMES, max_size=5, unique=True))
    return {
        "name": "mine",
        "nodes": {name: {"kind": draw(KINDS), **some(FIELDS, 4)} for name in names},
        "edges": [
            {"from": draw(NAMES), "to": draw(NAMES), **some(["on", "when", "max_visits"], 2)}
            for _ in range(draw(st.integers(0, 5)))
        ],
        **some(["start", "strategy", "answer", "policies", "inputs", "workflows"], 3),
    }


@given(documents())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_document_is_a_workflow_or_a_refusal(document: dict[str, Any]) -> None:
    import yaml

    text = yaml.safe_dump(document, allow_unicode=True)
    begun = time.process_time()
    assert all(problem.message for problem in problems_of(text))
    assert time.process_time() - begun < LIMIT_S


@given(st.text(max_size=300))
def test_any_text_is_a_workflow_or_a_refusal(text: str) -> None:
    assert all(problem.message for problem in problems_of(text))


@given(st.integers(1, 40), st.data(), st.booleans())
@settings(max_examples=50, deadline=None)
def test_any_graph_that_only_leads_on_has_no_flaws(
    size: int, data: st.DataObject, by_depends_on: bool
) -> None:
    """Each node is led to by some before it: nothing is unreachable, nothing goes round."""
    nodes: dict[str, Any] = {}
    edges: list[dict[str, str]] = []
    for i in range(size):
        before = data.draw(st.sets(st.integers(0, i - 1), min_size=1, max_size=3)) if i else set[int]()
        nodes[f"n{i}"] = {"kind": "agent", "agent": "ada"}
        if before:
            nodes[f"n{i}"]["task"] = f"Go on with {{{{ n{min(before)} }}}}"
            nodes[f"n{i}"]["join"] = data.draw(st.sampled_from(["all", "any", len(before)]))
        if by_depends_on:
            nodes[f"n{i}"]["depends_on"] = [f"n{j}" for j in before]
        else:
            edges += [{"from": f"n{j}", "to": f"n{i}"} for j in before]
    workflow = Workflow.model_validate({"name": "mine", "nodes": nodes, "edges": edges})
    assert extra(workflow) == []


@given(st.integers(2, 30), st.data())
def test_one_way_back_is_a_flaw_unless_it_has_a_limit(size: int, data: st.DataObject) -> None:
    start, end = sorted(data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2)))
    edges: list[dict[str, Any]] = [{"from": f"n{i}", "to": f"n{i + 1}"} for i in range(size - 1)]
    nodes = {f"n{i}": {"kind": "agent", "agent": "ada"} for i in range(size)}
    back = {"from": f"n{end}", "to": f"n{start}"}
    free = Workflow.model_validate({"name": "mine", "nodes": nodes, "edges": [*edges, back]})
    [(path, message)] = extra(free)
    assert path == ("edges", size - 1)
    assert re.search(r"never ends; set max_visits", message)
    limited = {**back, "max_visits": 3}
    assert extra(Workflow.model_validate({"name": "mine", "nodes": nodes, "edges": [*edges, limited]})) == []


def test_workflows_inside_of_each_other_have_an_end() -> None:
    def nested(depth: int) -> dict[str, Any]:
        inner = {"workflows": {f"w{depth}": nested(depth - 1)}} if depth else {}
        return {"name": f"w{depth + 1}", "nodes": {"a": {"kind": "agent", "agent": "ada"}}, **inner}

    assert extra(Workflow.model_validate(nested(8))) == []
    [(path, message)] = extra(Workflow.model_validate(nested(9)))
    assert path[:2] == ("workflows", "w9")
    assert message == "workflows are nested deeper than 8; define them side by side"


def test_what_undoes_may_tell_of_the_problem_and_of_any_node() -> None:
    """What undoes has no edges; it runs for a handler, after an error."""
    undo = {"kind": "agent", "agent": "bob", "task": "Undo {{ a.body }}: {{ problem.node }}"}
    nodes = {
        "a": {"kind": "agent", "agent": "ada", "compensation": "undo"},
        "undo": undo,
        "h": {"kind": "error_handler", "compensate": True},
        "after": {"kind": "agent", "agent": "ada", "task": "{{ problem.problem.message }}"},
    }
    edges = [
        {"from": "a", "to": "h", "on": "error", "when": "problem.node == 'a'"},
        {"from": "h", "to": "after"},
        {"from": "h", "to": "after", "on": "error"},
    ]
    assert extra(Workflow.model_validate({"name": "mine", "nodes": nodes, "edges": edges})) == []


@pytest.mark.parametrize(
    "schema",
    [{}, {"properties": {"x": {}, "tone": {}}}, {"properties": {"x": {}}, "additionalProperties": True}],
)
def test_what_a_run_can_be_given_may_be_read(schema: dict[str, Any]) -> None:
    reads = "{{ inputs.text }}" if not schema else "{{ inputs.text }} {{ inputs.x }} {{ inputs.tone }}"
    nodes = {"a": {"kind": "agent", "agent": "ada", "task": reads}}
    assert extra(Workflow.model_validate({"name": "mine", "inputs": schema, "nodes": nodes})) == []


def test_a_map_may_tell_of_its_item() -> None:
    by_agent = {"kind": "map", "over": "inputs.list", "agent": "ada", "task": "{{ item }} {{ index }}"}
    by_name = {"kind": "map", "over": "inputs.list", "agent_from": "item.agent"}
    by_workflow = {"kind": "map", "over": "inputs.list", "workflow": "other", "inputs": {"x": "{{ item }}"}}
    for node in (by_agent, by_name, by_workflow):
        given = {"properties": {"list": {"type": "array"}}}
        assert extra(Workflow.model_validate({"name": "mine", "inputs": given, "nodes": {"a": node}})) == []


def test_a_sequence_may_lead_back_to_its_first_node() -> None:
    nodes = {name: {"kind": "agent", "agent": "ada"} for name in "abc"}
    back = {"from": "c", "to": "a", "max_visits": 2}
    workflow = Workflow.model_validate(
        {"name": "mine", "strategy": "sequential", "nodes": nodes, "edges": [back]}
    )
    assert workflow.entries == ("a",)
    assert extra(workflow) == []


def test_what_is_guarded_or_limited_is_fine() -> None:
    nodes = {
        "a": {"kind": "agent", "agent": "ada", "task": "{{ b.body if visits.b > 0 else '' }}"},
        "d": {"kind": "decision"},
        "b": {"kind": "agent", "agent": "bob"},
    }
    edges = [
        {"from": "a", "to": "d"},
        {"from": "d", "to": "b", "max_visits": 1},  # used up, the next one is taken
        {"from": "d", "to": "a", "when": "visits.a < 9", "max_visits": 2},
    ]
    assert extra(Workflow.model_validate({"name": "mine", "nodes": nodes, "edges": edges})) == []
