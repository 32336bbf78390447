"""Markdown to HTML that is safe to show, whoever wrote it. Pure.

CommonMark and tables; HTML in the text stays text; links go to http, https and mailto only; nothing
is loaded from elsewhere (images become links). What comes out is cleaned a second time by nh3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

_LINK = re.compile(r"(https?://|mailto:)[^\s]", re.IGNORECASE)
_CITE = re.compile(r"\[(\d{1,3})\]")
_TAGS = {
    "a", "blockquote", "br", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "a": {"href", "class", "target", "title"},
    "code": {"class"},
    "div": {"class", "tabindex"},
    "ol": {"start"},
    "pre": {"tabindex"},
    "td": {"class"},
    "th": {"class"},
}


def render_markdown(text: str, *, sources: frozenset[int] = frozenset(), anchor: str = "") -> Markup:
    """Draw Markdown.

    Args:
        text: what to draw; untrusted.
        sources: numbers that `[n]` may refer to.
        anchor: `[n]` leads to the element with the id `<anchor><n>`.
    """
    html: str = _MARKDOWN.render(text, {"sources": sources, "anchor": anchor})
    cleaned = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_only_harmless,
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto"},
    )
    return Markup(cleaned)


def _only_harmless(tag: str, attribute: str, value: str) -> str | None:
    if tag == "a" and attribute == "href":
        return value if _LINK.match(value) or re.fullmatch(r"#[A-Za-z0-9-]+", value) else None
    return value


def _headings_below_the_card(state: StateCore) -> None:
    """The page has h1, the card h2: what is inside starts at h3."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"


def _align_by_class(state: StateCore) -> None:
    """Columns say how they are aligned by a class: the page allows no styles in the text."""
    for token in state.tokens:
        if token.type in ("th_open", "td_open") and token.attrs:
            token.attrs = {"class": str(token.attrs.get("style", "")).removeprefix("text-align:")}


def _link_citations(state: StateCore) -> None:
    sources: frozenset[int] = state.env.get("sources", frozenset())
    if not sources:
        return
    for token in state.tokens:
        if token.type == "inline" and token.children and _CITE.search(token.content):
            token.children = _with_citations(token.children, sources, state.env["anchor"])


def _with_citations(children: Sequence[Token], sources: frozenset[int], anchor: str) -> list[Token]:
    result: list[Token] = []
    in_link = 0
    for child in children:
        in_link += (child.type == "link_open") - (child.type == "link_close")
        if child.type != "text" or in_link:
            result.append(child)
            continue
        at = 0
        for match in _CITE.finditer(child.content):
            if int(match[1]) not in sources:
                continue
            result.append(_text(child.content[at : match.start()]))
            attrs: dict[str, str | int | float] = {"href": f"#{anchor}{int(match[1])}", "class": "cite"}
            result += [Token("link_open", "a", 1, attrs=attrs), _text(match[0]), Token("link_close", "a", -1)]
            at = match.end()
        result.append(_text(child.content[at:]))
    return result


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


class _Renderer(RendererHTML):
    """Draws what differs from plain HTML; each method is the rule for the token of its name."""

    def link_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Other sites open beside the conversation."""
        token = tokens[index]
        if not str(token.attrGet("href") or "").startswith("#"):
            token.attrSet("target", "_blank")
        return self.renderToken(tokens, index, options, env)

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A link instead: nothing is loaded from elsewhere by looking."""
        token = tokens[idx]
        address = str(token.attrGet("src") or "")
        words = self.renderInlineAsText(token.children or [], options, env) or address
        href = f'<a href="{escapeHtml(address)}" target="_blank">'
        return f"{href}Image: {escapeHtml(words)}</a>"

    def table_open(self, *_: object) -> str:
        """Wide tables scroll by themselves."""
        return '<div class="wide" tabindex="0"><table>\n'

    def table_close(self, *_: object) -> str:
        """End what `table_open` began."""
        return "</table></div>\n"


def _make() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer)
    markdown.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    markdown.validateLink = lambda url: bool(_LINK.match(url))
    markdown.core.ruler.push("headings", _headings_below_the_card)
    markdown.core.ruler.push("columns", _align_by_class)
    markdown.core.ruler.push("citations", _link_citations)
    return markdown


_MARKDOWN = _make()
