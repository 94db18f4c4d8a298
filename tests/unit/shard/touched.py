"""How much of a mapping is in memory: of it alone, whatever else the process and its neighbours hold."""

import ctypes
import mmap
from array import array
from pathlib import Path


def touched_bytes(mapping: mmap.mmap) -> int:
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    first, last = address // mmap.PAGESIZE, (address + len(mapping) - 1) // mmap.PAGESIZE
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pages:
        pages.seek(first * 8)
        entries = array("Q", pages.read((last + 1 - first) * 8))
    return sum(entry >> 63 for entry in entries) * mmap.PAGESIZE
