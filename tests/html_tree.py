"""Read a page strictly: what is not well nested is an error, so no text can have become markup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "input", "img", "br", "hr"})


@dataclass
class Element:
    """An element with its texts and children in order."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list["Element | str"])

    def walk(self) -> Iterator[Element]:
        """This element and all below, in the order of the page."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """Elements below with this tag and these attributes (`class_` holds one of the classes)."""
        return [one for one in self.walk() if one.matches(tag, attributes)]

    def one(self, tag: str = "", **attributes: str) -> Element:
        """The only such element."""
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} of <{tag}> {attributes}"
        return found[0]

    def matches(self, tag: str, attributes: dict[str, str]) -> bool:
        """Whether it has the tag and the attributes."""
        for name, value in attributes.items():
            given = self.attributes.get(name.rstrip("_").replace("_", "-"), "")
            if (value not in given.split()) if name == "class_" else (value != given):
                return False
        return not tag or self.tag == tag

    def text(self) -> str:
        """What a person reads: texts, values of fields; nothing of scripts and styles."""
        if self.tag in ("script", "style", "title") or self.attributes.get("type") == "hidden":
            return ""
        if self.tag == "input":
            return f" {self.attributes.get('value', '')} "
        inner = "".join(child if isinstance(child, str) else child.text() for child in self.children)
        return inner if self.tag in ("em", "strong", "code", "a", "span", "s") else f"{inner}\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        assert len(element.attributes) == len(attrs), f"an attribute twice in <{tag}>"
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read_html(html: str) -> Element:
    """The page as a tree.

    Raises:
        AssertionError: tags are not well nested, or there is a comment.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == [reader.root], f"left open: {[one.tag for one in reader.open[1:]]}"
    return reader.root


def executables(root: Element) -> list[str]:
    """What in the page would run or load by itself, but for the page's own files."""
    found: list[str] = []
    for element in root.walk():
        for name, value in element.attributes.items():
            loads = name in ("src", "srcset", "data", "background", "poster") or (
                element.tag == "link" and name == "href"
            )
            runs = name.startswith("on") or name in ("style", "srcdoc")
            sends = name in ("href", "action", "formaction") and value.lower().lstrip().startswith(
                ("javascript:", "data:", "vbscript:")
            )
            if runs or sends or (loads and not value.startswith("/assets/chat/")):
                found.append(f'<{element.tag} {name}="{value}">')
        inline = element.tag == "script" and not element.attributes.get("src", "").startswith("/assets/chat/")
        if inline or element.tag in ("iframe", "object", "embed", "style", "base"):
            found.append(f"<{element.tag}>")
    return found
