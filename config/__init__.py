"""Settings, and the agents and workflows that are shipped as YAML. Imports no sibling package."""

from config.documents import read_model, read_text_model
from config.errors import ConfigError, ConfigProblem
from config.load import load_settings
from config.providers import ProviderSettings
from config.sections import AgentSettings, ChatDefaults
from config.settings import Settings

__all__ = [
    "AgentSettings",
    "ChatDefaults",
    "ConfigError",
    "ConfigProblem",
    "ProviderSettings",
    "Settings",
    "load_settings",
    "read_model",
    "read_text_model",
]
