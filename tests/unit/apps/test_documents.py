from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.unit.apps.fakes import FakeCall, declared, load

documents = load("documents")


@pytest.fixture
def call(tmp_path: Path) -> FakeCall:
    files = tmp_path / "data" / "files"
    (files / "tax").mkdir(parents=True)
    (files / "salary.txt").write_text("The salary of Alice is 4200.\n")
    (files / "tax" / "2025.md").write_text("# Tax\n\nA refund of 130 for ALICE. Straße.\n")
    (files / "letter.pdf").write_bytes(pdf("Dear Alice, the lease ends in May."))
    (files / ".hidden.txt").write_text("Alice")
    (files / "image.bin").write_bytes(b"Alice\0\1")
    (files / "broken.pdf").write_bytes(b"%PDF-1.4 Alice")
    (tmp_path / "outside.txt").write_text("Alice outside")
    (tmp_path / "data" / "other.txt").write_text("Alice other")
    return FakeCall(tmp_path / "data")


def pdf(text: str) -> bytes:
    """Return a PDF of one page with one line of text."""
    stream = f"BT /F1 12 Tf 50 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def check(function: str, result: object) -> None:
    validator = declared(f"documents.{function}").result_validator
    assert validator.is_valid(result), list(validator.iter_errors(result))
    assert len(json.dumps(result, ensure_ascii=False).encode()) < 64 << 10


async def names(call: FakeCall, query: str, **options: int) -> list[str]:
    result = await documents.search(call, query=query, **options)
    check("search", result)
    return [found["name"] for found in result["documents"]]


async def test_search_finds_all_words_in_any_case_in_text_pdf_and_names(call: FakeCall) -> None:
    assert await names(call, "alice") == ["letter.pdf", "salary.txt", "tax/2025.md"]
    assert await names(call, "ALICE refund") == ["tax/2025.md"]
    assert await names(call, "lease") == ["letter.pdf"]
    assert await names(call, "salary") == ["salary.txt"]
    assert await names(call, "STRASSE") == ["tax/2025.md"]
    assert await names(call, "2025") == ["tax/2025.md"]
    assert await names(call, "alice", limit=1) == ["letter.pdf"]
    assert await names(call, "alice dinner") == []
    assert await names(call, "  ") == []


async def test_a_snippet_shows_the_words_where_they_stand(call: FakeCall) -> None:
    (call.data / "files" / "long.txt").write_text("padding " * 1000 + "needle here" + " padding" * 1000)
    (found,) = (await documents.search(call, query="needle"))["documents"]
    assert "needle here" in found["snippet"]
    assert len(found["snippet"]) <= 200


async def test_read_returns_the_text(call: FakeCall) -> None:
    for name, text in (
        ("salary.txt", "The salary of Alice is 4200.\n"),
        ("letter.pdf", "Dear Alice, the lease ends in May."),
        ("tax/2025.md", "# Tax\n\nA refund of 130 for ALICE. Straße.\n"),
    ):
        result = await documents.read(call, name=name)
        check("read", result)
        assert result == {"found": True, "text": text, "truncated": False}


@pytest.mark.parametrize(
    "name",
    [
        "../other.txt",
        "../../outside.txt",
        "tax/../salary.txt",
        "/etc/passwd",
        "missing.txt",
        "tax",
        ".",
        "a\0b",
        "image.bin",
        "broken.pdf",
        "\ud800",
        "x" * 5000,
    ],
)
async def test_a_name_that_is_no_document_of_the_folder_finds_nothing(call: FakeCall, name: str) -> None:
    assert await documents.read(call, name=name) == {"found": False}


async def test_links_are_followed_within_the_folder_and_not_out_of_it(call: FakeCall, tmp_path: Path) -> None:
    files = call.data / "files"
    (files / "out.txt").symlink_to(tmp_path / "outside.txt")
    (files / "outdir").symlink_to(tmp_path)
    (files / "loop.txt").symlink_to("loop.txt")
    (files / "again.txt").symlink_to("salary.txt")
    for name in ("out.txt", "outdir/outside.txt", "loop.txt"):
        assert await documents.read(call, name=name) == {"found": False}
    assert (await documents.read(call, name="again.txt"))["found"]
    assert await names(call, "outside") == []


async def test_a_pipe_is_not_waited_for(call: FakeCall) -> None:
    os.mkfifo(call.data / "files" / "pipe.txt")
    assert await documents.read(call, name="pipe.txt") == {"found": False}
    assert await names(call, "pipe") == []


async def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert await names(FakeCall(tmp_path), "alice") == []
    assert await documents.read(FakeCall(tmp_path), name="a") == {"found": False}


async def test_a_changed_file_is_read_anew(call: FakeCall) -> None:
    await names(call, "alice")
    (call.data / "files" / "salary.txt").write_text("Nothing to see here.")
    assert await names(call, "salary alice") == []


@pytest.mark.parametrize("character", ["x", "ü", "\x01", '"', "\N{GRINNING FACE}"])
async def test_whatever_is_returned_fits_into_64_kib(call: FakeCall, character: str) -> None:
    for number in range(60):
        (call.data / "files" / f"many{number}.txt").write_text("many " + character * 100_000)
    assert len(await names(call, "many", limit=50)) == 50
    result = await documents.read(call, name="many1.txt")
    check("read", result)
    assert result["truncated"]


def test_the_manifest_says_nothing_of_how_confidential_they_are() -> None:
    assert declared("documents.read").labels.confidentiality == ()
