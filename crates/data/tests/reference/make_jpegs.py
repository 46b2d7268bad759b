"""Makes the stored references of `tests/jpeg_parity.rs` with Pillow and NumPy.

    python3 -m venv venv && venv/bin/pip install pillow==13.0.0 numpy
    venv/bin/python make_jpegs.py                # the pictures in `jpeg/`
    venv/bin/python make_jpegs.py ../../../../../shared/assets   # also digests of real pictures

`jpeg/pixels.json`, `jpeg/damaged.json` and `jpeg/real.json` hold what Pillow (libjpeg-turbo, x86-64) makes
of them. Every picture is drawn here: height, width and the SHA-256 of `Image.open(..).convert("RGB")`'s bytes, or
`null` where it refuses.
"""

import hashlib
import io
import json
import pathlib
import sys

import numpy as np
from PIL import Image, features

import jpeg_writer
from jpeg_writer import ADOBE, JFIF, QUANTISERS, Component, Picture

OUT = pathlib.Path(__file__).parent / "jpeg"
SIZES = [(1, 1), (1, 17), (17, 1), (2, 2), (3, 5), (8, 8), (16, 16), (33, 47), (40, 64)]


def scene(height, width, channels=3, seed=0):
    """Waves, saturated edges and noise."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for c in range(channels):
        wave = 127.5 + 150 * np.sin(x / (3.0 + c)) * np.cos(y / (5.0 - c) + c)
        edge = 255.0 * ((c + 1) * x + (3 - c) * y > width + c * height)
        part = noise.integers(0, 80, (height, width))
        planes.append(np.where(x < 0.6 * width, wave, edge) + part - 40)
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def pillow(picture, **options):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", **options)
    return stream.getvalue()


def by_pillow():
    """Its subsamplings, sizes, qualities, scans and tables."""
    for height, width in SIZES:
        rgb = Image.fromarray(scene(height, width))
        for sampling in ["4:4:4", "4:2:2", "4:2:0"]:
            name = f"{height}x{width}_{sampling.replace(':', '')}"
            yield name, pillow(rgb, subsampling=sampling, quality=90)
            if height * width > 20:
                options = dict(subsampling=sampling, quality=75, progressive=True)
                yield f"{name}_progressive", pillow(rgb, **options)
    rgb = Image.fromarray(scene(33, 47))
    for quality in [5, 30, 60, 80, 95, 100]:
        yield f"quality_{quality}", pillow(rgb, quality=quality, optimize=quality > 60)
    yield "grey", pillow(rgb.convert("L"))
    yield "grey_progressive", pillow(rgb.convert("L"), progressive=True)
    yield "rgb", pillow(rgb, keep_rgb=True)
    yield "cmyk", pillow(rgb.convert("CMYK"))
    yield "cmyk_progressive", pillow(rgb.convert("CMYK"), progressive=True, quality=40)
    for blocks in [1, 2, 5]:
        yield f"restart_{blocks}", pillow(rgb, restart_marker_blocks=blocks)
        options = dict(restart_marker_blocks=blocks, progressive=True)
        yield f"restart_{blocks}_progressive", pillow(rgb, **options)
    tables = [[1 + i % 3 for i in range(64)], [7] * 64]
    yield "own_quantisers", pillow(rgb, qtables=tables)


def planes(height, width, samplings):
    """Components of smooth and of noisy planes."""
    colors = scene(height, width, len(samplings), seed=1)
    across, down = (max(s[i] for s in samplings) for i in range(2))
    parts = []
    for c, (h, v) in enumerate(samplings):
        rows, columns = -(-height * v // down), -(-width * h // across)
        y = np.arange(rows) * down // v
        x = np.arange(columns) * across // h
        plane = colors[np.minimum(y, height - 1)][:, np.minimum(x, width - 1), c]
        parts.append(Component(plane, h, v))
    return parts


def sequential(count, interleaved=True):
    if interleaved:
        return [(list(range(count)), 0, 63, 0, 0)]
    return [([i], 0, 63, 0, 0) for i in range(count)]


def progressive(count, last=0):
    """Bits down to `last` of every coefficient in many scans."""
    scans = [(list(range(count)), 0, 0, 0, 1)]
    for i in reversed(range(count)):
        scans += [([i], 1, 5, 0, 2), ([i], 6, 63, 0, 3)]
    scans += [(list(range(count)), 0, 0, 1, 0)]
    for i in range(count):
        scans += [([i], 6, 63, 3, 2), ([i], 6, 63, 2, 1), ([i], 6, 63, 1, 0)]
        scans += [([i], 1, 5, 2, 1)]
        if last == 0:
            scans += [([i], 1, 2, 1, 0), ([i], 3, 5, 1, 0)]
    return scans


SAMPLINGS = {
    "440": [(1, 2), (1, 1), (1, 1)],
    "411": [(4, 1), (1, 1), (1, 1)],
    "410": [(4, 2), (1, 1), (1, 1)],
    "441": [(1, 4), (1, 1), (1, 1)],
    "311": [(3, 1), (1, 1), (1, 1)],
    "133": [(1, 3), (1, 1), (1, 1)],
    "mixed": [(2, 2), (1, 2), (2, 1)],
    "chroma_denser": [(1, 1), (2, 2), (2, 1)],
    "all_dense": [(2, 2), (2, 2), (1, 1)],
    "equal_dense": [(2, 1), (2, 1), (2, 1)],
    "cmyk_420": [(2, 2), (1, 1), (1, 1), (2, 2)],
    "grey_dense": [(2, 2)],
}


def by_layout():
    """Samplings and orders of blocks that Pillow does not write."""
    for name, samplings in SAMPLINGS.items():
        count = len(samplings)
        sizes = [(33, 47)] if name in ("311", "133") else [(1, 1), (3, 5), (17, 1), (33, 47)]
        for height, width in sizes:
            parts = planes(height, width, samplings)
            label = f"{name}_{height}x{width}"
            yield label, Picture(height, width, parts, sequential(count))
        yield f"{name}_separate", Picture(33, 47, parts, sequential(count, False), restart=3)
        scans = progressive(count)
        yield f"{name}_progressive", Picture(33, 47, parts, scans, progressive=True)
    parts = planes(33, 47, [(4, 4), (1, 1), (2, 1)])
    yield "too_large_units_separate", Picture(33, 47, parts, sequential(3, False))
    yield "too_large_units", Picture(33, 47, parts, sequential(3))
    parts = planes(33, 47, [(3, 1), (2, 1), (1, 1)])
    yield "fractional", Picture(33, 47, parts, sequential(3))


def by_color():
    """What says the colours."""
    for label, ids, applications in [
        ("ids_123", (1, 2, 3), []),
        ("ids_012", (0, 1, 2), []),
        ("ids_rgb", b"RGB", []),
        ("ids_rgb_jfif", b"RGB", [(0xE0, JFIF)]),
        ("ids_rgb_short_jfif", b"RGB", [(0xE0, JFIF[:-1])]),
        ("ids_yuv_adobe_0", b"YUV", [(0xEE, ADOBE + b"\0")]),
        ("ids_rgb_adobe_1", b"RGB", [(0xEE, ADOBE + b"\1")]),
        ("ids_rgb_adobe_2", b"RGB", [(0xEE, ADOBE + b"\2")]),
        ("ids_123_jfif_adobe_0", (1, 2, 3), [(0xE0, JFIF), (0xEE, ADOBE + b"\0")]),
        ("ids_1234", (1, 2, 3, 4), []),
        ("ids_1234_jfif", (1, 2, 3, 4), [(0xE0, JFIF)]),
        ("ids_1234_adobe_0", (1, 2, 3, 4), [(0xEE, ADOBE + b"\0")]),
        ("ids_1234_adobe_1", (1, 2, 3, 4), [(0xEE, ADOBE + b"\1")]),
        ("ids_1234_adobe_2", (1, 2, 3, 4), [(0xEE, ADOBE + b"\2")]),
        ("ids_equal", (7, 7, 7), []),
        ("two_components", (1, 2), []),
    ]:
        parts = planes(16, 24, [(1, 1)] * len(ids))
        for part, number in zip(parts, ids):
            part.id = number
        scans = sequential(len(ids))
        yield label, Picture(16, 24, parts, scans, applications=applications)


def by_syntax():
    """Files that are written in unusual ways."""
    parts = planes(33, 47, [(2, 2), (1, 1), (1, 1)])
    basic = dict(height=33, width=47, components=parts, scans=sequential(3))
    yield "fill_bytes", Picture(**basic, fill=b"\xff\xff")
    yield "stray_bytes", Picture(**basic, before_scan={0: [b"\0\x12\xff\0"]})
    yield "stray_bytes_before_restart", Picture(**basic, restart=2, stray=b"\x55\x66")
    yield "long_segments", Picture(**basic, applications=[(0xE3, b"\xff\xd9" * 500), (0xFE, b"")])
    yield "tables_23", Picture(**basic, table_numbers=(2, 3))
    band = [([0, 1, 2], 1, 5, 0, 0)]
    yield "sequential_with_a_band", Picture(**basic | dict(scans=band))
    wide = {0: QUANTISERS * 20}
    yield "quantisers_of_16_bits", Picture(**basic, quantisers=wide, sof=0xC0)
    later = {1: [jpeg_writer.quantiser_segment(0, QUANTISERS)]}
    separate = basic | dict(scans=sequential(3, False))
    yield "quantisers_between_scans", Picture(**separate, before_scan=later)
    scans = dict(scans=progressive(3), progressive=True)
    later = {i: [jpeg_writer.quantiser_segment(0, QUANTISERS)] for i in range(1, 9)}
    yield "quantisers_between_progressive_scans", Picture(**basic | scans, before_scan=later)
    for label, body in [("restart_set_to_0", b"\0\0"), ("restart_set_again", b"\0\3")]:
        later = {1: [jpeg_writer.segment(0xDD, body)]}
        yield label, Picture(**separate, before_scan=later, restart=0 if body[1] == 0 else 3)
    # Without high frequencies: known as libjpeg knows them, without smoothing.
    scans = [s for s in progressive(3) if s[1] < 6]
    whole = [([i], 6, 12, 0, 0) for i in range(3)]
    yield "high_frequencies_missing", Picture(**basic | dict(scans=scans + whole), progressive=True)
    yield "low_bits_missing", Picture(
        **basic | dict(scans=progressive(3, last=1)), progressive=True
    )
    yield "bands_missing", Picture(**basic | dict(scans=progressive(3)[:1]), progressive=True)


def by_coefficients():
    """Coefficients that no picture has: sums of 16 bits wrap and saturate."""
    noise = np.random.default_rng(5)
    for label, size, quantiser, share in [
        ("wild_constants", 2047, 40, 0.0),
        ("wild_rows", 1000, 60, 0.02),
        ("wild_few", 1000, 30, 0.1),
        ("wild_many", 2000, 4, 0.9),
        ("wild_all", 16000, 255, 0.5),
    ]:
        blocks = noise.integers(-size, size + 1, (4, 6, 64))
        blocks *= noise.random((4, 6, 64)) < share
        blocks[:, :, 0] = noise.integers(-size, size + 1, (4, 6))
        part = Component(np.zeros((32, 48)), coefficients=blocks)
        quantisers = {0: np.full(64, quantiser)}
        yield label, Picture(32, 48, [part], sequential(1), quantisers=quantisers)


def without_code_tables(jpeg):
    """As frames of motion JPEG are."""
    out, at = [jpeg[:2]], 2
    while jpeg[at + 1] != 0xDA:
        length = 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != 0xC4:
            out.append(jpeg[at : at + length])
        at += length
    return b"".join(out + [jpeg[at:]])


def digest(jpeg):
    try:
        with Image.open(io.BytesIO(jpeg)) as stored:
            rgb = stored.convert("RGB")
    except (OSError, SyntaxError):
        return None
    pixels = hashlib.sha256(rgb.tobytes()).hexdigest()
    return dict(height=rgb.height, width=rgb.width, sha256=pixels)


def damaged(files):
    """Bytes of some pictures set to others: `[file, {position: byte}, digest or null]`."""
    noise = np.random.default_rng(6)
    names = [name for name, jpeg in files.items() if len(jpeg) > 600]
    cases = []
    for _ in range(400):
        name = names[noise.integers(len(names))]
        jpeg = bytearray(files[name])
        # In the compressed data, where damage may pass for a picture, or anywhere.
        first = jpeg.index(b"\xff\xda") + 12 if noise.random() < 0.7 else 3
        edits = {}
        for _ in range(noise.integers(1, 4)):
            at = int(noise.integers(first, len(jpeg)))
            byte = int(noise.integers(256)) if noise.random() < 0.5 else jpeg[at] ^ 1 << at % 8
            edits[at] = jpeg[at] = byte
        pixels = digest(bytes(jpeg))
        cases.append([name, edits, pixels and pixels["sha256"][:16]])
    return cases


def real(assets):
    """Some pictures of the two collections."""
    digests = {}
    for folder in ["imagenet_sample/short256", "imagenet_val/images227"]:
        files = sorted(f for f in (assets / folder).rglob("*") if f.suffix.lower() in (".jpg", ".jpeg"))
        for path in files[::180]:
            digests[path.relative_to(assets).as_posix()] = digest(path.read_bytes())
    return digests


def lines(values):
    """JSON with an entry a line."""
    if isinstance(values, dict):
        entries = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in values.items()]
        return "{\n" + ",\n".join(entries) + "\n}\n"
    return "[\n" + ",\n".join(map(json.dumps, values)) + "\n]\n"


def main():
    print("Pillow", Image.__version__, "libjpeg-turbo", features.version("libjpeg_turbo"))
    OUT.mkdir(exist_ok=True)
    files = dict(by_pillow())
    for group in [by_layout(), by_color(), by_syntax(), by_coefficients()]:
        files |= {name: jpeg_writer.write(picture) for name, picture in group}
    files["no_code_tables"] = without_code_tables(files["33x47_420"])
    files["no_code_tables_progressive"] = without_code_tables(files["33x47_420_progressive"])
    files["followed_by_another"] = files["8x8_444"] + files["33x47_420"]
    pixels = {}
    for name, jpeg in files.items():
        (OUT / f"{name}.jpg").write_bytes(jpeg)
        pixels[name] = digest(jpeg)
        if pixels[name] is None:
            print(f"  refused: {name}")
    print(len(files), "files,", sum(map(len, files.values())), "bytes")
    (OUT / "pixels.json").write_text(lines(pixels))
    (OUT / "damaged.json").write_text(lines(damaged(files)))
    if len(sys.argv) > 1:
        digests = real(pathlib.Path(sys.argv[1]))
        (OUT / "real.json").write_text(lines(digests))


if __name__ == "__main__":
    main()
