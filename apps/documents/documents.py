"""Documents: a folder of text and PDF files, to be searched and read.

Names are relative to the folder and never leave it. What the documents are worth protecting from is not known here:
the installation says which confidentiality labels the results carry.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from spoke_runner.sdk import App, Call

app = App()

MAX_FILES = 1000
MAX_FILE_BYTES = 16 << 20
MAX_PAGES = 200
MAX_TEXT_CHARACTERS = 1 << 20
MAX_RESULT_BYTES = 60 << 10
SNIPPET_BEFORE, SNIPPET_CHARACTERS = 60, 200
MAX_SNIPPET_BYTES = 800


@app.function
async def search(call: Call, query: str, limit: int = 10) -> dict[str, object]:
    # In a thread, because a PDF can take seconds, and other calls of this spoke go on meanwhile.
    return {"documents": await asyncio.to_thread(_search, call.data / "files", query, limit)}


@app.function
async def read(call: Call, name: str) -> dict[str, object]:
    path = _inside(call.data / "files", name)
    text = await asyncio.to_thread(_text_of, path) if path is not None else None
    if text is None:
        return {"found": False}
    cut = _cut(text, MAX_RESULT_BYTES)
    return {"found": True, "text": cut, "truncated": cut != text}


def _search(folder: Path, query: str, limit: int) -> list[dict[str, str]]:
    words = query.casefold().split()
    found: list[dict[str, str]] = []
    for path in _files(folder):
        text = _text_of(path)
        name = path.relative_to(folder).as_posix()
        folded = f"{name}\n{text or ''}".casefold()
        if text is not None and words and all(word in folded for word in words):
            found.append({"name": name, "snippet": _snippet(text, words)})
            if len(found) == limit:
                break
    return found


def _snippet(text: str, words: list[str]) -> str:
    text = " ".join(text.split())
    folded = text.casefold()
    first = min((place for word in words if (place := folded.find(word)) >= 0), default=0)
    start = max(0, first - SNIPPET_BEFORE)
    return _cut(text[start : start + SNIPPET_CHARACTERS], MAX_SNIPPET_BYTES)


def _files(folder: Path) -> Iterator[Path]:
    paths: list[Path] = []
    for root, directories, names in os.walk(folder):
        directories[:] = [name for name in directories if not name.startswith(".")]
        for name in names:
            path = _inside(folder, os.path.relpath(os.path.join(root, name), folder))  # noqa: PTH118
            if path is not None and not name.startswith("."):
                paths.append(path)
        if len(paths) > MAX_FILES:
            break
    return iter(sorted(paths)[:MAX_FILES])


def _inside(folder: Path, name: str) -> Path | None:
    """Return the path of a file in the folder; None when it is none, or leads out of the folder."""
    try:
        name.encode()
        real = (folder / name).resolve(strict=True)
        if not real.is_relative_to(folder.resolve(strict=True)) or ".." in Path(name).parts:
            return None
        # A pipe would never be read to its end.
        return folder / name if stat.S_ISREG(real.stat().st_mode) else None
    except (OSError, RuntimeError, ValueError):  # missing, a loop of links, or a name with NUL
        return None


def _text_of(path: Path) -> str | None:
    """Return the text of a file, or None when it has none."""
    try:
        status = path.stat()
        if status.st_size > MAX_FILE_BYTES:
            return None
        return _extract(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return None


@lru_cache(maxsize=64)
def _extract(path: Path, _modified: int, _size: int) -> str | None:
    if path.suffix.lower() == ".pdf":
        return _pdf_text(path)
    data = path.read_bytes()
    if b"\0" in data:
        return None
    return data.decode("utf-8", "replace")[:MAX_TEXT_CHARACTERS]


def _pdf_text(path: Path) -> str | None:
    # Imported when there is a PDF: it costs more than the rest of the start.
    from pypdf import PdfReader

    pages: list[str] = []
    length = 0
    try:
        for page in PdfReader(path).pages[:MAX_PAGES]:
            pages.append(page.extract_text())
            length += len(pages[-1])
            if length > MAX_TEXT_CHARACTERS:
                break
    except Exception:  # a broken or encrypted file raises whatever it is that broke; the others are still to be found
        return None
    return "\n".join(pages).encode("utf-8", "replace").decode()[:MAX_TEXT_CHARACTERS]


def _cut(text: str, max_bytes: int) -> str:
    """Cut a text so that its JSON form takes at most so many bytes."""
    text = text[:max_bytes]
    while (over := len(json.dumps(text, ensure_ascii=False).encode()) - 2 - max_bytes) > 0:
        # No character takes more than 6 bytes in JSON, so this never cuts too much.
        text = text[: -max(1, over // 6)]
    return text
