"""What was chosen and typed after `/quartet` → the words that the bot reads after a mention. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.discord.payload import number
from adapters.payload import Payload, items, mapping, text

COMMAND = "quartet"  # the name of the command group
ASK_ABOUT = "Ask Quartet about this"  # the name in a message's menu
_MOST = 25  # options of a command, says Discord
# The one option of a subcommand that follows its word.
_ONE_OPTION: Mapping[str, str] = {
    "status": "run",
    "stop": "run",
    "pause": "run",
    "resume": "run",
    "runs": "status",
    "workflows": "about",
    "agents": "agent",
    "settings": "change",
    "help": "word",
}

_OF_FORK = ("run", "step", "inputs")


def subcommand(data: Payload) -> tuple[str, dict[str, str]]:
    """The word after `/quartet` and what stands in its options; ("", {}) for nothing.

    Args:
        data: of an interaction.
    """
    for one in items(data.get("options"))[:_MOST]:
        chosen = mapping(one)
        if number(chosen, "type") == 1 and text(chosen, "name"):
            given = (mapping(option) for option in items(chosen.get("options"))[:_MOST])
            return text(chosen, "name"), {text(option, "name"): text(option, "value") for option in given}
    return "", {}


def words(word: str, options: Mapping[str, str]) -> str:
    """A command as words: `run`, `{"workflow": "quartet", "text": "Feed them"}` → `run quartet Feed them`."""
    workflow, asked = options.get("workflow", "").strip(), options.get("text", "").strip()
    if word == "ask":
        return " ".join(bit for bit in ("run" if workflow else "ask", workflow, asked) if bit)
    if word == "run":
        return " ".join(bit for bit in ("run", workflow, asked) if bit)
    if word == "team":
        return f"team {asked}".strip()
    if word == "fork":
        return " ".join(bit for bit in ("fork", *(options.get(o, "").strip() for o in _OF_FORK)) if bit)
    rest = options.get(_ONE_OPTION.get(word, ""), "").strip()
    return f"{word} {rest}".strip()
