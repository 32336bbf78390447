"""Model providers: one OpenAI client each, retries, prices, and their errors in our words.

Every provider is spoken to by the OpenAI protocol. Retries happen in the transport (408, 409, 429,
5xx, broken connections; up to four, growing pauses with jitter, `Retry-After` obeyed up to 60 s) and
are told to whoever listens on `on_retry`. Light to import: SDKs are loaded when the first model is
asked for, or by `warm_up`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from orchestrator.agents.models import Structured
from orchestrator.agents.spec import model_flaw, split_reference
from orchestrator.errors import LimitReached, ModelRefused, ModelUnavailable, StepError
from orchestrator.infra.retries import AGAIN, RETRIES, retrying

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI
    from pydantic_ai.exceptions import ModelHTTPError
    from pydantic_ai.models import Model
    from pydantic_ai.providers import Provider as SdkProvider

DETAIL_CHARS = 200
KEPT: Final = 128  # models that are kept once they are made; callers name them


@dataclass(frozen=True, slots=True)
class Known:
    """What we know of a provider by its name."""

    title: str
    variable: str  # the setting that makes it usable
    prices: str | None  # its id in the price table; None: unknown
    structured: Structured = "tool"
    host: str = ""  # of its own service; behind another address there may be other models
    small: tuple[str, ...] = ()  # its models for little money that take tools; their prices decide


KNOWN: dict[str, Known] = {
    "openai": Known(
        "OpenAI", "OPENAI_API_KEY", "openai", host="api.openai.com", small=("gpt-5-mini", "gpt-5-nano")
    ),
    "anthropic": Known(
        "Anthropic", "ANTHROPIC_API_KEY", "anthropic", host="api.anthropic.com", small=("claude-haiku-4-5",)
    ),
    "openrouter": Known(
        "OpenRouter",
        "OPENROUTER_API_KEY",
        "openrouter",
        host="openrouter.ai",
        small=("openai/gpt-5-mini", "openai/gpt-5-nano"),
    ),
    "groq": Known("Groq", "GROQ_API_KEY", "groq", host="api.groq.com", small=("openai/gpt-oss-20b",)),
    "deepseek": Known("DeepSeek", "DEEPSEEK_API_KEY", "deepseek"),
    "xai": Known("xAI", "GROK_API_KEY", "x-ai", host="api.x.ai", small=("grok-4-fast",)),
    "ollama": Known("Ollama", "OLLAMA_BASE_URL", None),
    # A project answers from its own documents and takes no tools; its answers are JSON as text.
    "customgpt": Known("CustomGPT", "CUSTOMGPT_API_KEY", None, "prompted"),
}


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that can be called.

    `base_url` may hold `{model}`, which stands for the model's name as one part of a path: CustomGPT has one
    for each project.
    """

    name: str
    base_url: str
    api_key: str | None  # None: the server wants none
    default_model: str | None = None
    key_name: str = ""  # what whoever gave the key calls it; "": the provider's setting

    def __repr__(self) -> str:
        """Without the key."""
        return f"Provider({self.name!r}, {self.base_url!r})"

    def url(self, model: str) -> str:
        """The base URL for one model."""
        base = self.base_url
        if self.name == "customgpt" and "{model}" not in base:
            base = base.rstrip("/") + "/projects/{model}"
        return base.replace("{model}", quote(model, safe=""))  # callers name it: it leads nowhere else


class Providers:
    """Implements `agents.models.Models` over providers by name.

    Args:
        providers: those that can be called.
        first_wait_s: the first pause before a retry; each further one is twice as long.
        transport: what really sends; None: the network.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        *,
        first_wait_s: float = 0.5,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._providers = dict(providers)
        self._first_wait_s = first_wait_s
        self._transport = transport
        # One pool of connections for each provider: what is made for its models holds none and is forgotten
        # without harm, also while it is at work.
        self._pools: dict[str, httpx2.AsyncClient] = {}
        self._models: OrderedDict[str, Model] = OrderedDict()

    def warm_up(self) -> None:
        """Import the SDKs and the price table, and make what takes long to make. Called in a thread."""
        for module in ("openai", "pydantic_ai.models.openai", "pydantic_ai.retries"):
            import_module(module)
        for provider in self._providers.values():
            self._pool(provider.name)
        self.cost("openai:gpt-5", "gpt-5", input_tokens=1, output_tokens=1, cached_tokens=0)

    def model(self, reference: str) -> Model:
        """The model behind "provider:model".

        Raises:
            ModelRefused: unknown provider, or its key is not set; the model's name cannot be one.
        """
        made = self._models.get(reference)
        if made is None:
            made = self._models[reference] = self._made(*self._provider(reference))
            while len(self._models) > KEPT:
                self._models.popitem(last=False)
        self._models.move_to_end(reference)
        return made

    def structured(self, reference: str) -> Structured:
        """How this model gives typed outputs."""
        known = KNOWN.get(reference.partition(":")[0])
        return known.structured if known else "tool"

    def cost(
        self, reference: str, answered_by: str, *, input_tokens: int, output_tokens: int, cached_tokens: int
    ) -> float | None:
        """Price of one call in US dollars; None: unknown; 0 for models of one's own."""
        from genai_prices import Usage, calc_price

        name, model = split_reference(reference)
        if name == "ollama":
            return 0.0
        known = KNOWN.get(name)
        if known is None or known.prices is None:
            return None
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, cache_read_tokens=cached_tokens)
        for named in dict.fromkeys((answered_by, model)):
            try:
                return float(calc_price(usage, named, provider_id=known.prices).total_price)
            except (LookupError, ValueError):
                continue
        return None

    def cheapest(self, named: Iterable[str]) -> str | None:
        """The model that asks least for a usual call, as "provider:model"; None: no price is known.

        Looked at are the default models of the providers, their small ones where the provider is at its
        own address, and those that are named. What has no known price is left out. Imports the price table.

        Args:
            named: further references; of providers that are not there they are left out.
        """
        references = [reference for provider in self._providers.values() for reference in _offered(provider)]
        prices: dict[str, float] = {}
        for reference in dict.fromkeys([*references, *named]):
            name, _, model = reference.partition(":")
            if name in self._providers and model and self.structured(reference) == "tool":
                price = self.cost(reference, model, input_tokens=4000, output_tokens=1000, cached_tokens=0)
                if price is not None:
                    prices[reference] = price
        return min(prices, key=lambda reference: prices[reference], default=None)

    async def close(self) -> None:
        """Close every connection."""
        pools, self._pools = list(self._pools.values()), {}
        self._models.clear()
        for pool in pools:
            await pool.aclose()

    # ── making ───────────────────────────────────────────────────────────────────────────────

    def _provider(self, reference: str) -> tuple[Provider, str]:
        try:
            name, model = split_reference(reference)
        except ValueError as error:
            raise ModelRefused(str(error)) from None
        provider = self._providers.get(name)
        if provider is None:
            known = KNOWN.get(name)
            have = ", ".join(self._providers) or "none"
            remedy = f"set {known.variable}" if known else f"providers with a key are: {have}"
            raise ModelRefused(
                f"The model {reference} cannot be used: the provider {name!r} is not set up; {remedy}."
            )
        flaw = model_flaw(model)
        if flaw:
            raise ModelRefused(f"The model {reference[:100]!r} cannot be used: its name {flaw}; check it.")
        return provider, model

    def _pool(self, name: str) -> httpx2.AsyncClient:
        """Connections to a provider. Made once: certificates are read, which takes long."""
        from pydantic_ai.models import create_async_httpx2_client

        if name not in self._pools:
            transport = retrying(self._transport, self._first_wait_s)
            self._pools[name] = create_async_httpx2_client(transport=transport)
        return self._pools[name]

    def _client(self, provider: Provider, model: str) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        client = AsyncOpenAI(
            api_key=provider.api_key or "none",
            base_url=provider.url(model),
            max_retries=0,  # the transport does it; with both, attempts multiply
            http_client=self._pool(provider.name),
        )
        if provider.name != "openai":
            # Read from OPENAI_ORG_ID and OPENAI_PROJECT_ID; nobody else's business.
            client.organization = client.project = None
        return client

    def _made(self, provider: Provider, model: str) -> Model:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.deepseek import DeepSeekProvider
        from pydantic_ai.providers.ollama import OllamaProvider
        from pydantic_ai.providers.openai import OpenAIProvider
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
        from pydantic_ai.providers.openrouter import OpenRouterProvider

        client = self._client(provider, model)
        speaks: SdkProvider[AsyncOpenAI]
        match provider.name:
            case "openai":
                speaks = OpenAIProvider(openai_client=client)
            case "deepseek":
                speaks = DeepSeekProvider(openai_client=client)
            case "openrouter":
                speaks = OpenRouterProvider(openai_client=client)
            case "ollama":
                speaks = OllamaProvider(openai_client=client)
            case _:
                speaks = OpenAICompatibleProvider(provider.name, openai_client=client)
        return OpenAIChatModel(model, provider=speaks)

    # ── errors ───────────────────────────────────────────────────────────────────────────────

    def trouble(self, error: Exception, reference: str) -> StepError | None:
        """The provider's error in our words; None: it is not one of a provider. Keys never show."""
        from pydantic_ai.exceptions import (
            ModelAPIError,
            ModelContextWindowExceededError,
            ModelHTTPError,
            ModelQuotaExceededError,
            ModelTimeoutError,
        )

        if not isinstance(error, ModelAPIError):
            return None
        provider, model = self._provider(reference)
        known = KNOWN.get(provider.name) or Known(
            provider.name, f"the key of the provider {provider.name!r}", None
        )
        if isinstance(error, ModelContextWindowExceededError):
            return LimitReached(
                f"The request is too long for {reference}. Shorten it, or choose a model that takes more."
            )
        if isinstance(error, ModelQuotaExceededError):
            return ModelRefused(f"{known.title} says that the account has no credit left: check its billing.")
        if isinstance(error, ModelHTTPError):
            return self._refusal(error, provider, known, model)
        where = urlsplit(provider.url(model)).netloc.rpartition("@")[2]
        if isinstance(error, ModelTimeoutError):
            return ModelUnavailable(
                f"{known.title} ({where}) did not answer in time. Try again later.", retryable=True
            )
        return ModelUnavailable(
            f"{known.title} could not be reached at {where}, {RETRIES} retries included: "
            "check the address and the network.",
            retryable=True,
        )

    def _refusal(self, error: ModelHTTPError, provider: Provider, known: Known, model: str) -> StepError:
        status = error.status_code
        if status in (401, 403):
            return ModelRefused(
                f"{known.title} refused the key ({status}): check {provider.key_name or known.variable}."
            )
        if status == 402:
            return ModelRefused(
                f"{known.title} says that the account has no credit left (402): check its billing."
            )
        if status == 404:
            return ModelRefused(
                f"{known.title} does not know the model {model!r} (404): check its name and the base URL."
            )
        if status == 429:
            return ModelUnavailable(
                f"{known.title} is asked too often (429), {RETRIES} retries included. Try again later.",
                retryable=True,
            )
        if status in AGAIN or status >= 500:
            return ModelUnavailable(
                f"{known.title} failed ({status}), {RETRIES} retries included. Try again later.",
                retryable=True,
            )
        detail = _detail(error.body)
        if provider.api_key:
            detail = detail.replace(provider.api_key, "•••")
        return ModelRefused(f"{known.title} refused the request ({status}){f': {detail}' if detail else ''}.")


def _offered(provider: Provider) -> Iterator[str]:
    known = KNOWN.get(provider.name)
    models = [provider.default_model] if provider.default_model else []
    if known is not None and known.host and urlsplit(provider.base_url).hostname == known.host:
        models += known.small
    for model in models:
        yield f"{provider.name}:{model}"


def _detail(body: object) -> str:
    """The provider's own words in an error body."""
    found: Any = body
    for key in ("error", "message"):
        if isinstance(found, dict):
            found = found.get(key, found)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return " ".join(found.split())[:DETAIL_CHARS].rstrip(".") if isinstance(found, str) else ""
