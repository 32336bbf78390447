"""The pages `/docs` and `/redoc`: the OpenAPI document as plain HTML. No script, nothing loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ doc.info.title }} API {{ doc.info.version }}</title>
<style>
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; overflow-wrap: anywhere; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { overflow: auto; padding: .7rem; border: 1px solid var(--line); max-height: 30rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0; }
td, th { border-bottom: 1px solid var(--line); }
</style></head><body>
<header><h1>{{ doc.info.title }} API {{ doc.info.version }}</h1>
<p>{{ doc.info.description }}</p>
<p>Machines read <a href="/openapi.json">openapi.json</a>.</p>
<nav><ul>{% for o in operations %}
<li><a href="#{{ o.id }}"><code>{{ o.method }} {{ o.path }}</code></a> {{ o.summary }}</li>{% endfor %}
</ul></nav></header><main>
{% for o in operations %}
<section id="{{ o.id }}"><h2><code>{{ o.method }} {{ o.path }}</code></h2>
<p>{{ o.summary }}.</p><p style="white-space: pre-line">{{ o.description }}</p>
{% if o.parameters %}<table><tr><th>Parameter</th><th>In</th><th>Values</th></tr>
{% for p in o.parameters %}<tr><td><code>{{ p.name }}</code>{% if p.required %} (required){% endif %}</td>
<td>{{ p.where }}</td><td>{{ p.description }} <code>{{ p.schema }}</code></td></tr>
{% endfor %}</table>{% endif %}
{% if o.body %}<p>Body: <a href="#schema-{{ o.body }}">{{ o.body }}</a></p>{% endif %}
<table><tr><th>Status</th><th>Meaning</th><th>Body</th></tr>
{% for r in o.responses %}<tr><td>{{ r.status }}</td><td>{{ r.description }}</td>
<td>{% if r.schema %}<a href="#schema-{{ r.schema }}">{{ r.schema }}</a>
{% else %}{{ r.media }}{% endif %}</td></tr>
{% endfor %}</table></section>
{% endfor %}
<h2>Schemas</h2>
{% for name, schema in schemas %}
<details id="schema-{{ name }}" open><summary><code>{{ name }}</code></summary>
<pre tabindex="0">{{ schema }}</pre></details>
{% endfor %}</main></body></html>
"""


def render(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: OpenAPI 3.1, as FastAPI makes it.
    """
    page = Environment(autoescape=True, trim_blocks=True).from_string(PAGE)
    operations = [
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [
        (name, json.dumps(schema, indent=2, ensure_ascii=False))
        for name, schema in sorted(document.get("components", {}).get("schemas", {}).items())
    ]
    return page.render(doc=document, operations=operations, schemas=schemas)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"{method}{path}".replace("/", "-").replace("{", "").replace("}", ""),
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "parameters": [
            {
                "name": p["name"],
                "where": p["in"],
                "required": p.get("required", False),
                "description": p.get("description", ""),
                "schema": _values(p["schema"]),
            }
            for p in operation.get("parameters", ())
        ],
        "body": _schema(operation.get("requestBody", {})),
        "responses": [
            {
                "status": status,
                "description": response.get("description", ""),
                "schema": _schema(response),
                "media": ", ".join(response.get("content", {})),
            }
            for status, response in sorted(operation["responses"].items())
        ],
    }


def _values(schema: Mapping[str, Any]) -> str:
    return json.dumps({k: v for k, v in schema.items() if k not in ("title", "description")})


def _schema(part: Mapping[str, Any]) -> str:
    """The name of the schema of a body; "" if it has none of its own."""
    for media in part.get("content", {}).values():
        reference: str = media.get("schema", {}).get("$ref", "")
        return reference.rpartition("/")[2]
    return ""
