"""Which model a task's wish means. Pure: providers are known by name, nobody is asked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Final

# Whose models are called so, where a bare name does not say it.
_WHOSE: Final = (
    (re.compile(r"(gpt-|o\d|chatgpt|text-|codex)"), "openai"),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"deepseek"), "deepseek"),
    (re.compile(r"grok"), "xai"),
    (re.compile(r"[\w.-]+/"), "openrouter"),
)
_KNOWN: Final = ("openai", "anthropic", "openrouter", "groq", "deepseek", "xai", "ollama", "customgpt")


class UnknownModel(ValueError):
    """No provider that is set up has it; the text says what to do."""


def looks_like_model(name: str, providers: Sequence[str]) -> bool:
    """Whether a text is surely the name of a language model, not a word of somebody's matter."""
    provider, colon, _ = name.partition(":")
    if colon:
        return provider.lower() in (*providers, *_KNOWN)
    return any(pattern.match(name.lower()) for pattern, whose in _WHOSE if whose != "openrouter")


def resolved(wish: str, providers: Sequence[str]) -> str | None:
    """`provider:model` of a wish, or None: all agents work by rules, and no wish is met.

    Args:
        wish: "provider:model", or a model's bare name: of the provider that is known for such names, else
            of the preferred one.
        providers: those that are set up, the preferred one first; empty: there are none.

    Raises:
        UnknownModel: the provider it names is not set up.
    """
    if not providers:
        return None
    wish = wish.strip()
    provider, colon, model = (part.strip() for part in wish.partition(":"))
    if colon:
        if provider.lower() in providers and model:
            return f"{provider.lower()}:{model}"
        raise UnknownModel(_refused(wish, provider, providers))
    if not wish:
        raise UnknownModel("is empty; leave it out, or write provider:model")
    for pattern, whose in _WHOSE:
        if pattern.match(wish.lower()) and whose in providers:
            return f"{whose}:{wish}"
    return f"{providers[0]}:{wish}"


def _refused(wish: str, provider: str, providers: Sequence[str]) -> str:
    have = ", ".join(providers)
    near = difflib.get_close_matches(provider.lower(), providers, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"set up are: {have}"
    if provider.lower() not in _KNOWN and not near:
        hint += "; a model whose own name has a colon is written provider:name:tag"
    return f"{wish[:80]!r} names the provider {provider[:40]!r}, which is not set up; {hint}"
