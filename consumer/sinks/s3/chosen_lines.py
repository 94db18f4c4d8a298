"""Lines of some of a chunk's records."""

from array import array
from collections.abc import Sequence

from consumer.domain.columns import Records
from consumer.native import library
from consumer.sinks.json.lines import join_lines


class ChosenLines:
    """Of a chunk's records: copied out of it where the C library knows where they are."""

    def __init__(self, records: Records, payloads: "array[int] | None" = None) -> None:
        """`payloads` are the addresses of all of them."""
        self._records = records
        self._payloads = payloads
        self._sizes = records.sizes() if payloads is not None else None

    def at(self, places: Sequence[int]) -> "tuple[bytearray, array[int]]":
        """The payloads at these indices, with a line end after each, and their sizes."""
        native = library.load()
        if self._payloads is None or self._sizes is None or native is None:
            payloads = self._records.payloads(places)
            return bytearray(join_lines(payloads)), array("I", map(len, payloads))
        chosen = array("I", places)
        sizes = array("I", bytes(chosen.itemsize * len(chosen)))
        pointers = library.address(self._sizes), library.address(chosen), len(chosen)
        text = library.new_bytearray(native.measure_lines(*pointers, library.address(sizes)))
        native.copy_lines(library.address(self._payloads), *pointers, library.address(text))
        return text, sizes
