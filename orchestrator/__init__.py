"""Runs, agents and workflows. Knows nothing of chat platforms, settings files or HTTP."""
