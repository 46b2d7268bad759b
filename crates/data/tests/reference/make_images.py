"""Makes the stored references of `tests/image_parity.rs` with Pillow and NumPy.

    python3 -m venv venv && venv/bin/pip install pillow==13.0.0 numpy
    venv/bin/python make_images.py

Every picture is drawn here. Expected pixels are IDX files of unsigned bytes, `[rows, columns, 3]`, gzip.
"""

import gzip
import io
import json
import pathlib
import struct

import numpy as np
from PIL import Image

OUT = pathlib.Path(__file__).parent / "images"


def scene(height, width):
    """Waves, an edge, a disk and a fine checkerboard."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 127.5 + 120 * np.sin(x / 7.0) * np.cos(y / 11.0)
    green = 255.0 * (x + 2 * y > width) * (0.4 + 0.6 * y / height)
    disk = (x - 0.6 * width) ** 2 + (y - 0.4 * height) ** 2 < (0.25 * height) ** 2
    checker = ((x.astype(int) + y.astype(int)) % 2) * (x < 0.3 * width)
    blue = 200.0 * disk + 50.0 * checker
    return np.clip(np.stack([red, green, blue], -1), 0, 255).astype(np.uint8)


def write_idx(name, array):
    array = np.ascontiguousarray(array, dtype=np.uint8)
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with open(OUT / name, "wb") as file:
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            packed.write(head + array.tobytes())


def decoded():
    """Pictures in many encodings, and what Pillow makes of each."""
    small = scene(41, 53)
    rgb = Image.fromarray(small)
    grey = Image.fromarray(small[:, :, 0])
    alpha = np.concatenate([small, 255 - small[:, :, :1]], -1)
    variants = {
        "rgb.png": (rgb, {}),
        "grey.png": (grey, {}),
        "palette.png": (rgb.quantize(32), {}),
        "bilevel.png": (grey.convert("1"), {}),
        "alpha.png": (Image.fromarray(alpha, "RGBA"), {}),
        "grey_alpha.png": (Image.merge("LA", [grey, grey]), {}),
        "pixel.png": (Image.fromarray(small[:1, :1]), {}),
        "444.jpg": (rgb, dict(quality=92, subsampling=0)),
        "420.jpg": (rgb, dict(quality=85, subsampling=2)),
        "progressive.jpg": (rgb, dict(quality=85, progressive=True)),
        "grey.jpg": (grey, dict(quality=85)),
        "cmyk.jpg": (rgb.convert("CMYK"), dict(quality=90)),
    }
    exif = Image.Exif()
    exif[0x0112] = 6
    variants["rotated.jpg"] = (rgb, dict(quality=85, exif=exif.tobytes()))
    names = []
    for name, (picture, options) in variants.items():
        picture.save(OUT / name, **options)
        with Image.open(OUT / name) as stored:
            write_idx(f"{name}.idx.gz", np.asarray(stored.convert("RGB")))
        names.append(name)
    return names


def resized():
    picture = Image.fromarray(scene(31, 49))
    picture.save(OUT / "scene.png")
    filters = {
        "box": Image.BOX,
        "bilinear": Image.BILINEAR,
        "bicubic": Image.BICUBIC,
        "lanczos": Image.LANCZOS,
    }
    cases = []
    for name, code in filters.items():
        for height, width in [(15, 23), (31, 20), (40, 49), (51, 75)]:
            file = f"scene_{name}_{height}x{width}.idx.gz"
            write_idx(file, np.asarray(picture.resize((width, height), code)))
            cases.append(dict(file=file, filter=name, height=height, width=width))
    return cases


def short_side(picture, side, code):
    width, height = picture.size
    if width <= height:
        size = (side, int(side * height / width))
    else:
        size = (int(side * width / height), side)
    return picture.resize(size, code)


def presets():
    """Every eighth row and column of what three checkpoints take."""
    picture = Image.fromarray(scene(301, 402))
    picture.save(OUT / "large.png")
    cases = {}
    for name, side, crop, code, start in [
        ("squeezenet", 256, 224, Image.BILINEAR, lambda margin: int(round(margin / 2.0))),
        ("mobilevit_xxs_timm", 284, 256, Image.BICUBIC, lambda margin: int(round(margin / 2.0))),
        ("mobilevit_transformers", 288, 256, Image.BILINEAR, lambda margin: margin // 2),
    ]:
        pixels = np.asarray(short_side(picture, side, code))
        top, left = start(pixels.shape[0] - crop), start(pixels.shape[1] - crop)
        pixels = pixels[top : top + crop, left : left + crop]
        file = f"large_{name}.idx.gz"
        write_idx(file, pixels[::8, ::8])
        cases[name] = file
    return cases


def compressed():
    """JPEG at the qualities of the corruption's severities 1 and 5."""
    picture = Image.open(OUT / "scene.png")
    cases = []
    for severity, quality in [(1, 25), (5, 7)]:
        for mode in ["RGB", "L"]:
            stream = io.BytesIO()
            picture.convert(mode).save(stream, "JPEG", quality=quality)
            file = f"jpeg_{mode}_{quality}.idx.gz"
            write_idx(file, np.asarray(Image.open(stream).convert("RGB")))
            cases.append(dict(file=file, severity=severity, grey=mode == "L"))
    write_idx("scene_grey.idx.gz", np.asarray(picture.convert("L").convert("RGB")))
    return cases


def pixelated():
    """Of even sides, so that no border of a cell falls on the centre of a pixel."""
    picture = Image.fromarray(scene(32, 48))
    picture.save(OUT / "even.png")
    cases = []
    for severity, share in [(1, 0.6), (3, 0.4), (5, 0.25)]:
        width, height = picture.size
        small = picture.resize((int(width * share), int(height * share)), Image.BOX)
        file = f"pixelate_{severity}.idx.gz"
        write_idx(file, np.asarray(small.resize(picture.size, Image.BOX)))
        cases.append(dict(file=file, severity=severity))
    return cases


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    cases = dict(
        decode=decoded(), resize=resized(), preset=presets(), jpeg=compressed(), pixelate=pixelated()
    )
    (OUT / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
