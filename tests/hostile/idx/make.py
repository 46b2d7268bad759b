"""Writes the hostile IDX files of this folder. Each is one defect away from a readable file."""

import gzip
import struct
from pathlib import Path

FOLDER = Path(__file__).parent
IMAGE = bytes(784)


def header(*dims, magic=(0, 0), kind=8, rank=None):
    rank = len(dims) if rank is None else rank
    return bytes([*magic, kind, rank]) + b"".join(struct.pack(">I", dim) for dim in dims)


def compressed(data):
    return gzip.compress(data, 9, mtime=0)


one_image = header(1, 28, 28) + IMAGE
packed = compressed(one_image)

FILES = {
    # Readable, for the pairs.
    "one-image": one_image,
    "one-label": header(1) + b"\x07",
    # Defects of the header.
    "empty": b"",
    "header-cut": one_image[:11],
    "magic": header(1, 28, 28, magic=(1, 0)) + IMAGE,
    "float-elements": header(1, 28, 28, kind=0x0D) + IMAGE,
    "four-dimensions": header(1, 1, 28, 28) + IMAGE,
    "dimensions-overflow": header(*[0xFFFFFFFF] * 3),
    "dimensions-huge": header(0xFFFFFFFF, 28, 28),
    # Defects of the data.
    "no-data": header(1_000_000, 28, 28),
    "data-cut": one_image[:-1],
    "data-trailing": one_image + b"\0",
    "side-27": header(1, 27, 27) + IMAGE[: 27 * 27],
    # Defects of the compression.
    "gzip-cut": packed[:-12],
    "gzip-checksum": packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:],
    "gzip-trailing": packed + b"neither a member nor padding",
    "gzip-bomb": compressed(one_image + bytes(1 << 22)),
    "gzip-text": compressed(b"not an array"),
    # Labels that do not go with one image.
    "label-ten": header(1) + b"\x0a",
    "two-labels": header(2) + b"\x07\x07",
}

for name, data in FILES.items():
    (FOLDER / f"{name}.idx").write_bytes(data)
