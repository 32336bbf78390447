"""The knowledge folder: what is read, how it is found, what is refused."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from orchestrator.infra import knowledge_index
from orchestrator.infra.documents import CHUNK_CHARS, SUFFIXES, Chunk, Unreadable, chunks
from orchestrator.infra.knowledge_index import KnowledgeIndex, match_expression


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    return made


@pytest.fixture
async def index(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[KnowledgeIndex]:
    monkeypatch.setattr(knowledge_index, "LOOK_AGAIN_S", 0.0)
    made = KnowledgeIndex(folder, tmp_path / "home" / "knowledge.db")
    yield made
    await made.close()


def pdf(text: str) -> bytes:
    writer = pypdf.PdfWriter()
    page = writer.add_blank_page(300, 300)
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/F1"): font})
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    stream = DecodedStreamObject()
    stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
    page[NameObject("/Contents")] = stream
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


async def urls(index: KnowledgeIndex, query: str) -> list[str]:
    return [p.url for p in await index.search(query, limit=10)]


async def test_every_kind_of_document_is_found(folder: Path, index: KnowledgeIndex) -> None:
    (folder / "a.md").write_text("# Top\n\n## Marmots\n\nThey whistle.\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("Badgers dig.")
    (folder / "c.rst").write_text("Title\n=====\n\nCapybaras\n---------\n\nThey swim.\n")
    (folder / "d.html").write_text("<h1>Dogs</h1><script>evil()</script><p>They&nbsp;bark &amp; run</p>")
    (folder / "e.csv").write_text("animal,sound\nelephant,trumpet\n")
    (folder / "f.json").write_text('{"fish": {"salmon": "silent"}}')
    (folder / "g.yaml").write_text("goat:\n  says: bleat\n")
    (folder / "h.pdf").write_bytes(pdf("Hedgehogs sniff"))
    assert await urls(index, "marmot whistling") == ["a.md#marmots"]
    assert await urls(index, "badgers") == ["sub/b.txt"]
    assert await urls(index, "capybara") == ["c.rst#capybaras"]
    assert await urls(index, "bark") == ["d.html#dogs"]
    assert await urls(index, "evil") == []
    assert [p.text for p in await index.search("elephant", limit=1)] == ["animal: elephant; sound: trumpet"]
    assert await urls(index, "salmon") == ["f.json"]
    assert [p.text for p in await index.search("goat", limit=1)] == ["goat.says: bleat"]
    assert await urls(index, "hedgehog") == ["h.pdf#page-1"]
    assert [p.title for p in await index.search("marmots", limit=1)] == ["Top › Marmots"]


async def test_changed_new_and_removed_files_are_noticed(folder: Path, index: KnowledgeIndex) -> None:
    file = folder / "a.md"
    file.write_text("ants")
    assert await urls(index, "ants") == ["a.md"]
    file.write_text("beetles")
    os.utime(file, ns=(1, 1))
    (folder / "b.md").write_text("crickets")
    assert await urls(index, "ants") == []
    assert await urls(index, "beetles crickets") == ["a.md", "b.md"]
    file.unlink()
    assert await urls(index, "beetles") == []


async def test_unchanged_files_are_not_read_again(
    folder: Path, index: KnowledgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.md").write_text("ants")
    await index.refresh()
    read: list[str] = []

    def chunks_of(name: str, content: bytes) -> list[Chunk]:
        read.append(name)
        return []

    monkeypatch.setattr(knowledge_index, "chunks", chunks_of)
    await index.refresh()
    os.utime(folder / "a.md", ns=(5, 5))  # another time, the same content
    await index.refresh()
    assert read == []


async def test_links_out_of_the_folder_hidden_binary_broken_and_huge_files_are_skipped(
    folder: Path, tmp_path: Path, index: KnowledgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.md").write_text("zebra password")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "s.md").write_text("zebra")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "links").symlink_to(tmp_path / "elsewhere")
    (folder / "gone.md").symlink_to(tmp_path / "nothing")
    (folder / ".hidden.md").write_text("zebra")
    (folder / "binary.md").write_bytes(b"zebra\0\xff")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 zebra")
    (folder / "broken.json").write_text("{zebra")
    (folder / "bomb.yaml").write_text("a: &a [zebra]\nb: [*a")
    (folder / "program.exe").write_text("zebra")
    os.mkfifo(folder / "pipe.md")
    monkeypatch.setattr(knowledge_index, "MOST_BYTES_TEXT", 100)
    (folder / "huge.md").write_text("zebra " * 100)
    (folder / "good.md").write_text("zebra")
    assert await urls(index, "zebra") == ["good.md"]


async def test_yaml_that_unfolds_without_end_is_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    async with asyncio.timeout(30):
        made = await asyncio.to_thread(chunks, "bomb.yaml", "\n".join(lines).encode())
    assert sum(len(c.text) for c in made) < 10_000_000


async def test_missing_folder_finds_nothing(tmp_path: Path) -> None:
    index = KnowledgeIndex(tmp_path / "none", tmp_path / "k.db")
    assert await index.search("x", limit=3) == []
    await index.close()


async def test_broken_index_is_built_anew(folder: Path, tmp_path: Path) -> None:
    (folder / "a.md").write_text("ants")
    (tmp_path / "k.db").write_bytes(b"this is no database" * 100)
    index = KnowledgeIndex(folder, tmp_path / "k.db")
    assert [p.url for p in await index.search("ants", limit=3)] == ["a.md"]
    await index.close()


async def test_searches_at_the_same_time_do_not_collide(folder: Path, index: KnowledgeIndex) -> None:
    for n in range(20):
        (folder / f"f{n}.md").write_text(f"number{n} word")
    found = await asyncio.gather(*(urls(index, f"number{n}") for n in range(20)))
    assert found == [[f"f{n}.md"] for n in range(20)]


async def test_cancelled_search_leaves_the_index_usable(folder: Path, index: KnowledgeIndex) -> None:
    (folder / "a.md").write_text("ants")
    work = asyncio.create_task(index.search("ants", limit=1))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert await urls(index, "ants") == ["a.md"]


@pytest.mark.parametrize(
    "query",
    ['"', "a AND b", "NEAR(x, y)", "title: *", "col:x OR", "-x", "x^2 (", "'; DROP TABLE chunks", "\0", "🦓"],
)
async def test_no_query_is_an_operator(folder: Path, index: KnowledgeIndex, query: str) -> None:
    (folder / "a.md").write_text("ants")
    await index.search(query, limit=3)
    assert await urls(index, "ants") == ["a.md"]


@given(st.text(max_size=80))
def test_expressions_hold_quoted_words_only(query: str) -> None:
    for term in filter(None, match_expression(query).split(" OR ")):
        assert term[0] == term[-1] == '"'
        assert '"' not in term[1:-1]


@given(st.text(alphabet="ab \n#`-", max_size=600), st.integers(1, 8))
def test_passages_are_verbatim_and_lose_no_word(text: str, times: int) -> None:
    text = (text + "\n") * times
    made = chunks("x.txt", text.encode())
    assert all(c.text in text for c in made)
    assert all(len(c.text) <= CHUNK_CHARS for c in made)
    assert "".join("".join(c.text for c in made).split()) == "".join(text.split())


@given(st.binary(max_size=300), st.sampled_from(sorted(SUFFIXES)))
def test_any_bytes_are_read_or_refused(content: bytes, suffix: str) -> None:
    try:
        made = chunks("x" + suffix, content)
    except Unreadable:
        return
    assert all(c.text.strip() for c in made)
