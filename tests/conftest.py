"""For all tests: the plugin that makes the table of `docs/platforms.md` of their results."""

pytest_plugins = ["tests.parity"]
