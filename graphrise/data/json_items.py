"""The arrays of a large JSON file, an item at a time: COCO-style annotations exceed memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from graphrise.errors import DataError

CHUNK = 1 << 20
"""Characters that are read at a time."""
LONGEST = 1 << 24
"""Characters of the longest item; a file that is no JSON must not be read whole to find out."""
_IN_NUMBERS = frozenset("0123456789.eE+-")


def json_items(file: Path) -> Iterator[tuple[str, Any]]:
    """Every item of every array at the top of a JSON file, in the file's order.

    Args:
        file: An object, of whose values those that are arrays are gone through and others passed
            over; or an array.

    Yields:
        Key of the array (empty if the file is one) and item.

    Raises:
        DataError: The file is missing, cut off or not such JSON; says where.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            text = _Text(stream)
            if text.peek() == "[":
                yield from (("", item) for item in text.array())
                return
            text.take("{")
            while text.peek() != "}":
                key = text.value()
                text.take(":")
                if text.peek() == "[":
                    yield from ((key, item) for item in text.array())
                else:
                    text.value()
                text.between("}")
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file") from error
    except ValueError as error:  # of JSON and of UTF-8
        raise DataError(f"{file}: not JSON, or cut off: {error}") from error


class _Text:
    """The part of a file that is being parsed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = json.JSONDecoder()
        self._text, self._at, self._read = "", 0, 0

    def peek(self) -> str:
        """Next character that is no white space; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in " \t\r\n":
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def take(self, character: str) -> None:
        if self.peek() != character:
            raise self._error(f"{character!r} expected")
        self._at += 1

    def between(self, end: str) -> None:
        """Pass over the comma after an item, which the last item lacks."""
        if self.peek() != end:
            self.take(",")

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if len(self._text) - self._at > LONGEST or not self._more():
                    raise self._error("value expected") from None
                continue
            # A number may go on: `2` of `2.5e-3` is one too.
            tail = self._text[end : end + 4]
            if len(tail) < 4 and _IN_NUMBERS.issuperset(tail) and self._more():
                continue
            self._at = end
            return value

    def array(self) -> Iterator[Any]:
        self.take("[")
        while self.peek() != "]":
            yield self.value()
            self.between("]")
        self.take("]")

    def _more(self) -> bool:
        chunk = self._stream.read(CHUNK)
        self._read += len(chunk)
        self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)

    def _error(self, what: str) -> ValueError:
        left = len(self._text) - self._at
        return ValueError(f"{what} at character {self._read - left:,}")
