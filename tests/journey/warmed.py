"""Imports all of Quartet, and what it imports only when it is needed; only `warm` has use for it."""

from __future__ import annotations

import gc
import importlib
import pkgutil

OURS = ("adapters", "bot", "config", "orchestrator")
LATER = (
    "pydantic_ai.models.function",
    "pydantic_ai.models.openai",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
)

for package in map(importlib.import_module, OURS):
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
for name in LATER:
    importlib.import_module(name)
gc.freeze()  # what is imported here is nobody's garbage
