"""Links in a text, which whoever reads it may follow.

What a message to a person carries is judged by its labels, not by its meaning. This is the one thing that is looked
for in it, because phishing needs it.

Tried and rejected: a library that recognises links as a mail program does. It knows the top-level domains there are,
which spares a false alarm for `name.Is`; it took a millisecond for each kilobyte, and 700 for 16 hostile ones.

Invariants:
    * The time is linear in the text's length, whatever is in it.
    * What is too long to be looked through counts as one that holds a link.
"""

from __future__ import annotations

import re
import unicodedata

MAX_CHARACTERS = 1 << 15
MAX_LINKS = 16
TOO_LONG = "…"

# A run of name characters with dots in it, taken whole: the look-behind and `++` keep a long run from being tried again
# from each of its characters.
_DOTTED = re.compile(r"(?<![\w.-])[\w-]++(?:\.[\w-]++)++")
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}")
# Ends of names that are files': there are no such top-level domains.
_FILES = frozenset({
    "bmp", "cfg", "conf", "css", "csv", "doc", "docx", "gif", "gz", "htm", "html", "ini", "jpeg", "jpg", "js", "json",
    "log", "odp", "ods", "odt", "ogg", "pdf", "png", "ppt", "pptx", "rtf", "svg", "tar", "toml", "tsv", "txt", "wav",
    "webp", "xls", "xlsx", "xml", "yaml", "yml",
})  # fmt: skip
_AROUND = "\"'`()[]{}<>,;:!?.“”„‘’«»"


def links_in(text: str) -> list[str]:
    """Return the links in a text, each once and as it stands there, at most 16 of them.

    `https://…` and its like, `host.tld/…`, `host.tld` and addresses of four numbers. A name that ends like a file's
    (`bill.txt`) is none, and neither is an e-mail address: any summary of a message holds one.
    """
    if len(text) > MAX_CHARACTERS:
        return [TOO_LONG]
    text = unicodedata.normalize("NFKC", text)
    if "." not in text and "://" not in text:
        return []
    found: dict[str, None] = {}
    for word in text.split():
        if "://" in word or any(map(_leads_somewhere, _DOTTED.finditer(word))):
            found[word.strip(_AROUND)] = None
            if len(found) == MAX_LINKS:
                break
    return list(found)


def _leads_somewhere(match: re.Match[str]) -> bool:
    name = match[0]
    end = name.rpartition(".")[2].lower()
    before, after = match.string[: match.start()], match.string[match.end() : match.end() + 1]
    if before.endswith("@") or after == "@":
        return False
    return (len(end) > 1 and end.isalpha() and end not in _FILES) or _ADDRESS.fullmatch(name) is not None
