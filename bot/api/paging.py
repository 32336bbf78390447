"""Parameters of routes that give a list page by page."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

Limit = Annotated[int, Query(ge=1, le=100)]
"""How many at most."""

Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before")]
"""Where the page begins; None: the first one."""
