"""Writes JPEGs of layouts that Pillow does not write (ITU-T T.81), for `make_jpegs.py`."""

import dataclasses
import struct

import numpy as np

ZIGZAG = sorted(
    range(64),
    key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8),
)
# Annex K, table K.1.
QUANTISERS = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip
# Every symbol has a code of 8 bits, but for the last two, which have 9.
FLAT = ([0] * 7 + [254, 2] + [0] * 7, list(range(256)))
# Constant coefficients have few symbols.
FLAT_DC = ([0] * 3 + [12, 4] + [0] * 11, list(range(16)))
ADOBE = b"Adobe\0\x64\0\0\0\0"
JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"


@dataclasses.dataclass
class Component:
    """A plane of samples, sampled `across x down` where the densest is, or its coefficients."""

    plane: np.ndarray
    across: int = 1
    down: int = 1
    id: int = 0
    quantiser: int = 0
    coefficients: np.ndarray | None = None


@dataclasses.dataclass
class Picture:
    height: int
    width: int
    components: list
    # For every scan: components, first, last, high, low.
    scans: list
    progressive: bool = False
    sof: int | None = None
    # Row by row; 16 bits each where a value needs them.
    quantisers: dict = dataclasses.field(default_factory=lambda: {0: QUANTISERS // 4})
    # (marker, body) before the frame.
    applications: list = dataclasses.field(default_factory=list)
    restart: int = 0
    # Segments to write before scan i.
    before_scan: dict = dataclasses.field(default_factory=dict)
    # Bytes before every marker but those in compressed data.
    fill: bytes = b""
    # Bytes before every restart marker.
    stray: bytes = b""
    code_tables: bool = True
    codes: tuple = (FLAT_DC, FLAT)
    table_numbers: tuple = (0, 0)


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def quantiser_segment(number, values):
    ordered = [int(values[i]) for i in ZIGZAG]
    wide = max(ordered) > 255
    body = struct.pack(">64H", *ordered) if wide else bytes(ordered)
    return segment(0xDB, bytes([(16 if wide else 0) + number]) + body)


def code_segment(head, code):
    counts, symbols = code
    return segment(0xC4, bytes([head]) + bytes(counts) + bytes(symbols))


def code_words(code):
    """Symbol to (code, length)."""
    counts, symbols = code
    words, value, position = {}, 0, 0
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            words[symbols[position]] = (value, length)
            value, position = value + 1, position + 1
        value *= 2
    return words


class Bits:
    def __init__(self):
        self.text = []

    def put(self, value, length):
        if length:
            self.text.append(format(value, f"0{length}b"))

    def flush(self):
        text = "".join(self.text)
        text += "1" * (-len(text) % 8)
        self.text = []
        raw = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
        return raw.replace(b"\xff", b"\xff\0")


def magnitude(value):
    """Bits of a coefficient, and their number."""
    size = int(abs(value)).bit_length()
    return (value if value >= 0 else value + (1 << size) - 1), size


def transformed(plane, columns, rows, quantisers):
    """Quantised coefficients `[rows, columns, 64]`, in the order of the file."""
    height, width = plane.shape
    edge = ((0, rows * 8 - height), (0, columns * 8 - width))
    padded = np.pad(plane.astype(np.float64) - 128, edge, mode="edge")
    u = np.arange(8)
    wave = np.cos((2 * u[None, :] + 1) * u[:, None] * np.pi / 16) / 2
    wave[0] /= np.sqrt(2)
    blocks = padded.reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)
    frequencies = np.einsum("vy,rcyx,ux->rcvu", wave, blocks, wave).reshape(rows, columns, 64)
    return np.rint(frequencies / quantisers).astype(int)[:, :, ZIGZAG]


class Encoder:
    def __init__(self, picture):
        self.picture = picture
        self.densest = (
            max(c.across for c in picture.components),
            max(c.down for c in picture.components),
        )
        self.units = (
            -(-picture.width // (8 * self.densest[0])),
            -(-picture.height // (8 * self.densest[1])),
        )
        self.blocks = []
        for component in picture.components:
            if component.coefficients is not None:
                self.blocks.append(component.coefficients)
                continue
            columns, rows = self.units[0] * component.across, self.units[1] * component.down
            size = self.size(component)
            plane = component.plane[: size[1], : size[0]]
            quantisers = picture.quantisers[component.quantiser]
            self.blocks.append(transformed(plane, columns, rows, quantisers))
        self.dc, self.ac = (code_words(code) for code in picture.codes)

    def size(self, component):
        """Columns and rows of samples."""
        width = -(-self.picture.width * component.across // self.densest[0])
        height = -(-self.picture.height * component.down // self.densest[1])
        return width, height

    def encode(self):
        picture = self.picture
        fill = picture.fill
        out = [b"\xff\xd8"]
        for marker, body in picture.applications:
            out += [fill, segment(marker, body)]
        for number, values in picture.quantisers.items():
            out += [fill, quantiser_segment(number, values)]
        sof = picture.sof or (0xC2 if picture.progressive else 0xC1)
        frame = struct.pack(">BHHB", 8, picture.height, picture.width, len(picture.components))
        for i, c in enumerate(picture.components):
            frame += bytes([c.id or i + 1, 16 * c.across + c.down, c.quantiser])
        out += [fill, segment(sof, frame)]
        dc, ac = picture.table_numbers
        if picture.code_tables:
            out += [fill, code_segment(dc, picture.codes[0])]
            out += [fill, code_segment(16 + ac, picture.codes[1])]
        if picture.restart:
            out += [fill, segment(0xDD, struct.pack(">H", picture.restart))]
        for number, scan in enumerate(picture.scans):
            out += picture.before_scan.get(number, [])
            chosen, first, last, high, low = scan
            head = bytes([len(chosen)])
            for i in chosen:
                head += bytes([picture.components[i].id or i + 1, 16 * dc + ac])
            head += bytes([first, last, 16 * high + low])
            out += [fill, segment(0xDA, head), self.scan(scan)]
        return b"".join(out + [fill, b"\xff\xd9"])

    def places(self, chosen):
        """For every unit, its blocks: component, row, column."""
        components = self.picture.components
        if len(chosen) == 1:
            width, height = self.size(components[chosen[0]])
            for row in range(-(-height // 8)):
                for column in range(-(-width // 8)):
                    yield [(chosen[0], row, column)]
            return
        for top in range(self.units[1]):
            for left in range(self.units[0]):
                yield [
                    (i, top * components[i].down + y, left * components[i].across + x)
                    for i in chosen
                    for y in range(components[i].down)
                    for x in range(components[i].across)
                ]

    def scan(self, scan):
        chosen, first, last, high, low = scan
        bits, out = Bits(), []
        before = dict.fromkeys(chosen, 0)
        for unit, places in enumerate(self.places(chosen)):
            if self.picture.restart and unit and unit % self.picture.restart == 0:
                number = (unit // self.picture.restart - 1) % 8
                out += [bits.flush(), self.picture.stray, bytes([0xFF, 0xD0 + number])]
                before = dict.fromkeys(chosen, 0)
            for component, row, column in places:
                block = self.blocks[component][row, column]
                if not self.picture.progressive:
                    before[component] = self.constant(bits, block, before[component], 0)
                    self.band(bits, block, 1, 63, 0)
                elif first == 0 and high == 0:
                    before[component] = self.constant(bits, block, before[component], low)
                elif first == 0:
                    bits.put(int(block[0]) >> low & 1, 1)
                elif high == 0:
                    self.band(bits, block, first, last, low)
                else:
                    self.refinement(bits, block, first, last, low)
        return b"".join(out + [bits.flush()])

    def constant(self, bits, block, before, low):
        value = int(block[0]) >> low
        raw, size = magnitude(value - before)
        bits.put(*self.dc[size])
        bits.put(raw, size)
        return value

    def band(self, bits, block, first, last, low):
        run = 0
        for k in range(first, last + 1):
            value = int(block[k])
            value = (abs(value) >> low) * (1 if value > 0 else -1)
            if value == 0:
                run += 1
                continue
            while run > 15:
                bits.put(*self.ac[0xF0])
                run -= 16
            raw, size = magnitude(value)
            bits.put(*self.ac[16 * run + size])
            bits.put(raw, size)
            run = 0
        if run:
            bits.put(*self.ac[0])

    def refinement(self, bits, block, first, last, low):
        """One bit more; every block ends by itself."""
        levels = [abs(int(block[k])) >> low for k in range(64)]
        fresh = [k for k in range(first, last + 1) if levels[k] == 1]
        end = fresh[-1] if fresh else first - 1
        run, corrections = 0, []
        for k in range(first, end + 1):
            if levels[k] == 0:
                run += 1
                if run == 16:
                    bits.put(*self.ac[0xF0])
                    for bit in corrections:
                        bits.put(bit, 1)
                    run, corrections = 0, []
            elif levels[k] > 1:
                corrections.append(levels[k] & 1)
            else:
                bits.put(*self.ac[16 * run + 1])
                bits.put(1 if block[k] > 0 else 0, 1)
                for bit in corrections:
                    bits.put(bit, 1)
                run, corrections = 0, []
        if end < last:
            bits.put(*self.ac[0])
            for k in range(end + 1, last + 1):
                if levels[k] > 1:
                    corrections.append(levels[k] & 1)
        for bit in corrections:
            bits.put(bit, 1)


def write(picture):
    return Encoder(picture).encode()
