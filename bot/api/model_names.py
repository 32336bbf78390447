"""Which model a caller's wish means. Pure: providers are known by name, nobody is asked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Final

from config.providers import BUILT_IN
from orchestrator.agents.spec import model_flaw

# Whose models are called so, where a bare name does not say it.
_WHOSE: Final = (
    (re.compile(r"(gpt-|o\d|chatgpt|text-|codex)"), "openai"),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"deepseek"), "deepseek"),
    (re.compile(r"grok"), "xai"),
)
# Makers whose models have such names at many providers.
_WHOSE_ELSE: Final = ((re.compile(r"[\w.-]+/"), "openrouter"), (re.compile(r"[\w.-]+:[\w.-]+$"), "ollama"))


class UnknownModel(ValueError):
    """No provider that is set up has it; the text says what to do."""


def looks_like_model(name: str, providers: Collection[str]) -> bool:
    """Whether a text is surely the name of a language model, not a word of somebody's matter."""
    provider, colon, _ = name.partition(":")
    if colon:
        return provider.lower() in providers or provider.lower() in BUILT_IN
    return any(pattern.match(name.lower()) for pattern, _ in _WHOSE)


def parted(wish: str, providers: Collection[str] = ()) -> tuple[str, str]:
    """The provider that a wish names ("": none) and the model's own name.

    Args:
        wish: "provider:model", or a model's bare name, which may have a colon too.
        providers: those there are besides the built-in ones.

    Raises:
        UnknownModel: it names a provider and no model, or cannot be a name at all.
    """
    wish = wish.strip()
    _check(wish)
    prefix, colon, model = (part.strip() for part in wish.partition(":"))
    provider = prefix.lower()
    if not colon or (provider not in BUILT_IN and provider not in providers):
        return "", wish
    if not model:
        raise UnknownModel("names a provider and no model; write it as provider:model")
    return provider, model


def likely(name: str, providers: Collection[str], preferred: str) -> str:
    """The provider that a bare name is asked of: the one known for such names, else the preferred one.

    Args:
        name: of the model.
        providers: those that can be asked.
        preferred: asked where none of them is known for it.

    Raises:
        UnknownModel: what stands before its colon is no provider, and no provider is known for such names.
    """
    whose = _WHOSE_ELSE if ":" in name else (*_WHOSE, *_WHOSE_ELSE)
    for pattern, provider in whose:
        if provider in providers and pattern.match(name.lower()):
            return provider
    if ":" in name:
        raise UnknownModel(_refused(name, name.partition(":")[0].strip(), providers))
    return preferred


def resolved(wish: str, providers: Sequence[str]) -> str | None:
    """`provider:model` of a wish, or None: all agents work by rules, and no wish is met.

    Args:
        wish: "provider:model", or a model's bare name.
        providers: those that are set up, the preferred one first; empty: there are none.

    Raises:
        UnknownModel: the provider it names is not set up, it is empty, or cannot be a name at all.
    """
    _check(wish.strip())
    if not providers:
        return None
    provider, model = parted(wish, providers)
    if not model:
        raise UnknownModel("is empty; leave it out, or write provider:model")
    if provider and provider not in providers:
        raise UnknownModel(_refused(wish.strip(), provider, providers))
    return f"{provider or likely(model, providers, providers[0])}:{model}"


def _check(wish: str) -> None:
    """See that it could be a name: it may end up in the address of a provider."""
    flaw = model_flaw(wish) if wish else ""
    if flaw:
        raise UnknownModel(f"{flaw}, so it is no model's name")


def _refused(wish: str, provider: str, providers: Collection[str]) -> str:
    near = difflib.get_close_matches(provider.lower(), providers, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"set up are: {', '.join(providers)}"
    if provider.lower() not in BUILT_IN and not near:
        hint += "; a model whose own name has a colon is written provider:name:tag"
    return f"{wish[:80]!r} names the provider {provider[:40]!r}, which is not set up; {hint}"
