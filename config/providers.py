"""Which model providers there are, and which of them the settings have made usable."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """A provider that can be called with the OpenAI protocol."""

    name: str
    base_url: str
    api_key: SecretStr | None  # None: the server wants none
    default_model: str | None  # None: a model has to be named (CustomGPT: a project)

    def base_url_for(self, model: str) -> str:
        """The base URL for one model: with CustomGPT every project has its own."""
        return f"{self.base_url.rstrip('/')}/projects/{model}" if self.name == "customgpt" else self.base_url


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A provider known by name."""

    base_url: str
    variable: str  # what makes it usable
    default_model: str | None


# In the order in which they are asked when no model is named.
BUILT_IN: dict[str, BuiltIn] = {
    "openai": BuiltIn("https://api.openai.com/v1", "OPENAI_API_KEY", "gpt-5"),
    "anthropic": BuiltIn("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "claude-sonnet-4-5"),
    "openrouter": BuiltIn("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "openai/gpt-5"),
    "groq": BuiltIn("https://api.groq.com/openai/v1", "GROQ_API_KEY", "openai/gpt-oss-120b"),
    "deepseek": BuiltIn("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "deepseek-chat"),
    "xai": BuiltIn("https://api.x.ai/v1", "GROK_API_KEY", "grok-4"),
    "ollama": BuiltIn("http://127.0.0.1:11434/v1", "OLLAMA_BASE_URL", "qwen3"),
    "customgpt": BuiltIn("https://app.customgpt.ai/api/v1", "CUSTOMGPT_API_KEY", None),
}
