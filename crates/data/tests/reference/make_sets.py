"""Makes the stored files of `tests/labelled_reference.rs`: small sets as other programs write them.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 pandas==3.1.1 pyarrow==26.0.1 pillow==13.0.0
    venv/bin/python make_sets.py

`sets/` gets arrays of NumPy, tables of pandas and pyarrow, and pictures of Pillow. What is expected of
the pictures are IDX files of unsigned bytes, `[rows, columns, 3]`, gzip, as Pillow's
`Image.open(..).convert("RGB")` gives them; what is expected of the rest stands in the tests.
"""

import gzip
import io
import json
import pathlib
import struct

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

OUT = pathlib.Path(__file__).parent / "sets"

# Three inputs of four numbers and their labels.
INPUTS = np.array([[0.5, -1, 2, 3], [4, 5, 6, 7.25], [0, 0, 0, 1]])
LABELS = np.array([2, 0, 1])


def arrays():
    """Every element type, both byte orders, both element orders, three versions of the header."""
    for name, dtype in [("f2", "<f2"), ("f4", "<f4"), ("f8", "<f8"), ("f4_big", ">f4"), ("f8_big", ">f8")]:
        np.save(OUT / f"{name}.npy", INPUTS.astype(dtype))
    np.save(OUT / "fortran.npy", np.asfortranarray(INPUTS.astype("<f4")))
    for version in [(2, 0), (3, 0)]:
        with open(OUT / f"version_{version[0]}.npy", "wb") as file:
            np.lib.format.write_array(file, INPUTS.astype("<f4"), version=version)
    for dtype in ["i1", "i2", "i4", "i8", "u2", "u4", "u8"]:
        np.save(OUT / f"{dtype}.npy", np.arange(12).reshape(3, 4).astype(dtype))
    np.save(OUT / "labels.npy", LABELS)
    np.save(OUT / "named_labels.npy", np.array(["two", "zero", "one"]))
    np.save(OUT / "objects.npy", np.array([{}, [], 3], dtype=object), allow_pickle=True)
    np.save(OUT / "records.npy", np.zeros(3, dtype=[("a", "<f4"), ("b", "<i4")]))
    # MNIST-C has a folder for each corruption.
    (OUT / "fog").mkdir(exist_ok=True)
    np.save(OUT / "fog/test_images.npy", np.arange(3 * 4).reshape(3, 2, 2, 1).astype(np.uint8))
    np.save(OUT / "fog/test_labels.npy", LABELS)
    np.savez(OUT / "stored.npz", x_test=INPUTS.astype("<f4"), y_test=LABELS)
    np.savez_compressed(OUT / "packed.npz", images=INPUTS.astype(">f8"), labels=LABELS.astype("u1"), extra=LABELS)
    np.savez(OUT / "two_parts.npz", x_train=INPUTS, y_train=LABELS, x_test=INPUTS, y_test=LABELS)
    np.savez(OUT / "one_hot.npz", x=INPUTS.astype("<f4"), y=np.eye(3)[LABELS])


REVIEWS = pd.DataFrame(
    {
        "text": ["a fine film", 'he said "dull"', "fine,\ndull", "film"],
        "label": ["positive", "negative", "positive", "negative"],
    }
)


def tables():
    """Texts and numbers, with quotes, line ends, missing labels and lists of labels."""
    REVIEWS.to_csv(OUT / "reviews.csv", index=False)
    REVIEWS.to_csv(OUT / "reviews.csv.gz", index=False, compression={"method": "gzip", "mtime": 0})
    REVIEWS.to_json(OUT / "reviews.jsonl", orient="records", lines=True)
    REVIEWS.to_parquet(OUT / "reviews.parquet", index=False)
    missing = REVIEWS.assign(label=[1, 0, None, 0])
    missing.to_csv(OUT / "missing.csv", index=False)
    missing.to_json(OUT / "missing.jsonl", orient="records", lines=True)
    missing.to_parquet(OUT / "missing.parquet", index=False)
    several = REVIEWS.assign(label=[["fine", "long"], [], ["dull"], ["fine"]])
    several.to_json(OUT / "several.jsonl", orient="records", lines=True)
    several.to_parquet(OUT / "several.parquet", index=False)
    numbers = pd.DataFrame(INPUTS, columns=["a", "b", "c", "d"]).assign(species=["x", "y", "x"], label=LABELS)
    numbers.drop(columns="species").to_csv(OUT / "numbers.csv", index=False)
    numbers.drop(columns="label").to_csv(OUT / "species.csv", index=False)
    numbers.drop(columns="label").to_csv(OUT / "headless.csv", index=False, header=False)
    numbers.drop(columns="species").to_csv(OUT / "indexed.csv")
    pairs = pd.DataFrame(
        {"premise": ["a film", "dull", "fine"], "hypothesis": ["fine", "film", "a"], "label": [0, 2, -1], "idx": [0, 1, 2]}
    )
    hub = {"info": {"features": {"label": {"names": ["entailment", "neutral", "contradiction"], "_type": "ClassLabel"}}}}
    table = pa.Table.from_pandas(pairs, preserve_index=False)
    table = table.replace_schema_metadata({"huggingface": json.dumps(hub)})
    pq.write_table(table, OUT / "mnli.parquet")


def drawn(size, shift):
    y, x = np.mgrid[0:size, 0:size]
    return np.stack([(40 * x + shift) % 256, (30 * y) % 256, (x * y * 9) % 256], -1).astype(np.uint8)


def encoded(array, kind, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def picture_tables():
    """Pictures in rows, in two shards of two row groups each, as the hub stores them."""
    folder = OUT / "shards"
    folder.mkdir(exist_ok=True)
    hub = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    for shard in range(2):
        rows = [
            {"img": {"bytes": encoded(drawn(6, 50 * shard + 10 * i), "PNG"), "path": None}, "label": i % 2}
            for i in range(3)
        ]
        table = pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": json.dumps(hub)})
        pq.write_table(table, folder / f"test-{shard:05}-of-00002.parquet", row_group_size=2)


def write_idx(name, array):
    array = np.ascontiguousarray(array, dtype=np.uint8)
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with open(OUT / name, "wb") as file:
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            packed.write(head + array.tobytes())


def pictures():
    """Pictures in other formats than JPEG and PNG."""
    rgb = drawn(21, 0)
    colour, grey = Image.fromarray(rgb), Image.fromarray(rgb[:, :, 0])
    alpha = Image.fromarray(np.concatenate([rgb, 255 - rgb[:, :, :1]], -1), "RGBA")
    palette = colour.quantize(16)
    other = Image.fromarray(255 - rgb)
    variants = {
        "lossless.webp": (colour, dict(lossless=True)),
        "lossy.webp": (colour, dict(quality=80)),
        "alpha.webp": (alpha, dict(lossless=True, exact=True)),
        "animated.webp": (colour, dict(lossless=True, save_all=True, append_images=[other])),
        "rgb.bmp": (colour, {}),
        "alpha.bmp": (alpha, {}),
        "palette.bmp": (palette, {}),
        "grey.bmp": (grey, {}),
        "bilevel.bmp": (grey.convert("1"), {}),
        "palette.gif": (palette, {}),
        "transparent.gif": (palette, dict(transparency=3)),
        "animated.gif": (colour, dict(save_all=True, append_images=[other])),
        "rgb.tif": (colour, {}),
        "lzw.tif": (colour, dict(compression="tiff_lzw")),
        "deflate.tif": (colour, dict(compression="tiff_adobe_deflate")),
        "packbits.tif": (grey, dict(compression="packbits")),
        "grey.tif": (grey, {}),
        "alpha.tif": (alpha, {}),
        "pages.tif": (colour, dict(save_all=True, append_images=[other])),
        "bilevel.tif": (grey.convert("1"), {}),
        "rgb.ppm": (colour, {}),
        "grey.pgm": (grey, {}),
        "bilevel.pbm": (grey.convert("1"), {}),
    }
    for name, (picture, options) in variants.items():
        picture.save(OUT / name, **options)
    # Written by hand: fewer levels, text, and 16 bits.
    levels = rgb[:3, :4, 0] // 17
    text = " ".join(str(level) for level in levels.ravel())
    (OUT / "levels.pgm").write_bytes(b"P5\n# 0 to 15\n4 3\n15\n" + levels.tobytes())
    (OUT / "text.pgm").write_text(f"P2\n4 3\n15\n{text}\n")
    (OUT / "text.ppm").write_text("P3\n2 1\n255\n255 0 7\n1 2 3\n")
    deep = (np.arange(12).reshape(3, 4) * 5000).astype(">u2")
    (OUT / "deep.pgm").write_bytes(b"P5\n4 3\n65535\n" + deep.tobytes())
    # A PNG that is called something else.
    (OUT / "misnamed.txt").write_bytes(encoded(rgb, "PNG"))
    Image.fromarray(rgb.astype(np.float32)[:, :, 0] / 255).save(OUT / "float.tif")
    refused = {"float.tif", "deep.pgm"}
    known = {".webp", ".bmp", ".gif", ".tif", ".ppm", ".pgm", ".pbm"}
    for path in sorted(OUT.iterdir()):
        if (path.suffix in known or path.name == "misnamed.txt") and path.name not in refused:
            write_idx(path.name + ".idx.gz", np.asarray(Image.open(path).convert("RGB")))


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    arrays()
    tables()
    picture_tables()
    pictures()
