"""Read agents and workflows from their YAML files, shipped and own."""

from __future__ import annotations

from collections.abc import Iterable

from config.documents import read_model
from config.errors import ConfigError, ConfigProblem
from config.paths import agent_files, workflow_files
from config.settings import Settings
from orchestrator.agents.spec import AgentSpec
from orchestrator.workflow import Workflow


def read_agents(settings: Settings) -> list[AgentSpec]:
    """The agents, each with the model and temperature that the settings give it.

    Raises:
        ConfigError: a file is wrong; names file, line and remedy.
    """
    specs: list[AgentSpec] = []
    for file in agent_files():
        spec = read_model(file, AgentSpec)
        changes: dict[str, object] = {}
        # Settings win over the file, and a file's own model over the default one.
        if spec.model is None or spec.name in settings.agents or spec.name in settings.project_ids:
            changes["model"] = settings.model_for(spec.name)
        temperature = settings.temperature_for(spec.name)
        if temperature is not None:
            changes["temperature"] = temperature
        specs.append(spec.model_copy(update=changes))
    return specs


def read_workflows(settings: Settings, agents: Iterable[str]) -> dict[str, Workflow]:
    """Every workflow by name: the shipped ones and those of `workflows_path`.

    Raises:
        ConfigError: a file is wrong, or two files define the same name.
    """
    names = frozenset(agents)
    found: dict[str, Workflow] = {}
    files: dict[str, str] = {}
    for file in workflow_files(settings.workflows_path):
        workflow = read_model(
            file, Workflow, extra_check=lambda w: ((f.path, f.message) for f in w.problems(names))
        )
        if workflow.name in found:
            message = f"there is a workflow {workflow.name!r} already, in {files[workflow.name]}"
            raise ConfigError([ConfigProblem(str(file), 1, 1, "name", message, "choose another name")])
        found[workflow.name] = workflow
        files[workflow.name] = str(file)
    return found
