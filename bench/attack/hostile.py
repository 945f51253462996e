"""Files that strangers made to do harm: each is refused in one sentence, and reaches nothing outside."""

import json
import os
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from forked import run
from inputs import INPUTS, written
from verdicts import LIMIT_S, Attempt, judged

SECRET = "only-the-owner-may-read-this"
KINDS = {one.name: one for one in INPUTS}


@dataclass(frozen=True)
class Hostile:
    """A valid input that `spoil` makes hostile; it gets the folder, and that of a file that is private.

    `codes` are right: of an import that refuses its only episode 0 is, as it says so.
    """

    what: str
    kind: str
    spoil: Callable[[Path, Path], object]
    codes: tuple[int, ...] = (1, 2)


def attack(scratch: Path) -> Iterator[Attempt]:
    """Try all of them."""
    outside = scratch / "outside"
    outside.mkdir(parents=True)
    (outside / "secret.txt").write_text(f"{SECRET}\n")
    for number, one in enumerate(all_hostile()):
        whole = written(KINDS[one.kind], scratch / "whole" / one.kind, scratch / "first")
        yield _once(one, whole, scratch / f"{number}", outside)
        shutil.rmtree(scratch / f"{number}")


def _once(one: Hostile, whole: Path, folder: Path, outside: Path) -> Attempt:
    kind = KINDS[one.kind]
    shutil.copytree(whole, folder / "in")
    (folder / "out").mkdir()
    one.spoil(folder / "in", outside)
    before = sorted(outside.iterdir())
    ended = run(kind.command(folder / "in", folder / "out"), folder / "process", LIMIT_S)
    attempt = judged(kind.name, one.what, ended, one.codes, secret=SECRET)
    reached = [path.name for path in outside.iterdir() if path not in before]
    copied = [path for path in (folder / "out").rglob("*") if path.is_file() and _holds(path, SECRET)]
    if attempt.wrong is None and (reached or copied):
        wrong = (
            f"ran what it was given ({reached})"
            if reached
            else f"copied a private file into {copied[0].name}"
        )
        return Attempt(kind.name, one.what, wrong, attempt.code, attempt.seconds, attempt.peak_mb)
    return attempt


def all_hostile() -> Iterator[Hostile]:
    """Every attack."""
    yield from _pickles()
    yield from _links()
    yield from _bombs()
    yield from _claims()
    yield from _names()


class _Touch:
    """A pickle that makes a file where it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def _pickles() -> Iterator[Hostile]:
    demo, all_said = "low_dim_obs.pkl", (0, 1, 2)
    yield Hostile(
        "a pickle that calls a function",
        "rlbench",
        lambda root, out: _each(root, demo, pickle.dumps(_Touch(out / "x"))),
        all_said,
    )
    yield Hostile(
        "a checkpoint that calls a function",
        "pickle",
        lambda root, out: _each(root, "foreign.ckpt", pickle.dumps(_Touch(out / "x"))),
    )
    yield Hostile(
        "a pickle that changes a dtype after an array has it",
        "rlbench",
        lambda root, _: _each(root, demo, _dtype_pickle()),
        all_said,
    )
    yield Hostile(
        "a pickle that remembers value 2^31",
        "rlbench",
        lambda root, _: _each(root, demo, b"\x80\x04Nr\xff\xff\xff\x7f."),
        all_said,
    )
    grown = (b"(h" + bytes([number]) + b"h" + bytes([number]) + b"l\x94" for number in range(60))
    doubled = b"\x80\x04]\x94" + b"".join(grown) + b"."
    yield Hostile(
        "a pickle whose lists double", "rlbench", lambda root, _: _each(root, demo, doubled), all_said
    )
    yield Hostile(
        "a pickle nested 100,000 deep",
        "rlbench",
        lambda root, _: _each(root, demo, b"(" * 100_000 + b"."),
        all_said,
    )


def _dtype_pickle() -> bytes:
    """An array of S1 whose dtype is written to afterwards: items of 10 MB in 7 bytes."""

    def text(value: str) -> bytes:
        return b"\x8c" + bytes([len(value)]) + value.encode()

    def name(module: str, what: str) -> bytes:
        return text(module) + text(what) + b"\x93"

    def whole(number: int) -> bytes:
        return b"J" + struct.pack("<i", number)

    def several(*parts: bytes) -> bytes:
        return b"(" + b"".join(parts) + b"t"

    def raw(content: bytes) -> bytes:
        return b"B" + struct.pack("<I", len(content)) + content

    longer = several(whole(3), text("|"), b"N", b"N", b"N", whole(10_000_000), whole(1), whole(0))
    empty = several(name("numpy", "ndarray"), several(whole(0)), raw(b"b"))
    filled = several(whole(1), several(whole(7)), b"h\x00", b"\x89", raw(b"1" * 7))
    parts = [b"\x80\x04", name("numpy", "dtype"), several(text("S1")), b"R\x940"]
    parts += [name("numpy.core.multiarray", "_reconstruct"), empty, b"R", filled, b"b\x940"]
    return b"".join([*parts, b"h\x00", longer, b"b0", b"h\x01", b"."])


def _links() -> Iterator[Hostile]:
    every = (0, 1, 2)
    places = {
        "own set": ("info.json", "*.mp4", "*.parquet"),
        "rlbench": ("variation_descriptions.pkl", "low_dim_obs.pkl", "0.png"),
        "bridge": ("*.pkl", "*.txt", "*.jpg"),
        "droid": ("*.h5", "*.json", "*.mp4"),
        "recordings": ("instruction.txt", "poses.csv", "cameras.json", "*.mp4"),
        "calibrated": ("calibration.json", "left.yaml"),
        "action images": ("actions.npy", "camera_params.json"),
        "rlds": ("*.tfrecord*",),
        "models": ("action_images.json", "config.json", "*.safetensors"),
        "run": ("recipe.json", "state.json", "tensors.safetensors"),
        "results": ("settings.json", "trials.jsonl"),
    }
    for kind, patterns in places.items():
        for pattern in patterns:
            yield Hostile(
                f"{pattern} is a link to a private file",
                kind,
                _linked(pattern, lambda out: out / "secret.txt"),
                every,
            )
            yield Hostile(
                f"{pattern} is a link to /dev/zero",
                kind,
                _linked(pattern, lambda _: Path("/dev/zero")),
                every,
            )
            yield Hostile(
                f"{pattern} is a pipe", kind, lambda root, _, pattern=pattern: _piped(root, pattern), every
            )


def _bombs() -> Iterator[Hostile]:
    every = (0, 1, 2)
    yield Hostile(
        "pictures of 20,000 px", "rlbench", lambda root, _: _each(root, "*.png", _png(20_000)), every
    )
    yield Hostile(
        "pictures of 8192 px",
        "rlbench",
        lambda root, _: _each(root, "episode0/front_rgb/*.png", _png(8192)),
        every,
    )
    yield Hostile("a chunk that unpacks to 3 GB", "droid", lambda root, _: _hdf5_bomb(root), every)
    yield Hostile(
        "an array of 10^12 numbers that are not there", "droid", lambda root, _: _hdf5_claim(root), every
    )
    yield Hostile("100,000 episodes in a small table", "own set", lambda root, _: _parquet_bomb(root))
    yield Hostile("an array that claims 10^12 rows", "action images", lambda root, _: _npy_claim(root), every)
    yield Hostile(
        "json nested a million deep", "own set", lambda root, _: _each(root, "info.json", b"[" * 1_000_000)
    )
    yield Hostile(
        "a number of a million digits",
        "own set",
        lambda root, _: _each(root, "info.json", b'{"fps": ' + b"9" * 1_000_000 + b"}"),
    )
    laughs = "\n".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9 if n else ['x'] * 9)}]" for n in range(12)
    )
    yield Hostile(
        "yaml that grows to 9^12 words",
        "calibrated",
        lambda root, _: _each(root, "left.yaml", laughs.encode()),
        every,
    )
    yield Hostile(
        "yaml that builds an object",
        "calibrated",
        lambda root, out: _each(root, "left.yaml", f"!!python/object/apply:os.mkdir ['{out}/x']".encode()),
        every,
    )
    line = b"0," * 3_000_000
    yield Hostile(
        "a line of three million columns", "path and cameras", lambda root, _: _each(root, "path.csv", line)
    )


def _claims() -> Iterator[Hostile]:
    claims = {
        "100,000 layers": ("transformer", {"num_layers": 100_000}),
        "places for 10^9 tokens": ("transformer", {"rope_max_seq_len": 10**9}),
        "a text of 10^11 numbers": ("transformer", {"text_dim": 10**11}),
        "patches of 10^5 px": ("vae", {"spatial_factor": 10**5}),
    }
    for what, (part, claim) in claims.items():
        yield Hostile(
            f"a config that claims {what}",
            "models",
            lambda root, _, part=part, claim=claim: _say(root / "model" / part / "config.json", claim),
        )
    clips = {"size": [10**6, 10**6], "num_frames": 10**6, "fps": 5.0, "sampling": "one-step"}
    yield Hostile(
        "models of clips of a gigapixel",
        "models",
        lambda root, _: _say(root / "model/action_images.json", {"clips": clips}),
    )
    yield Hostile(
        "models without a transformer", "models", lambda root, _: shutil.rmtree(root / "model/transformer")
    )
    header = struct.pack("<Q", 1 << 60)
    for kind, pattern in (
        ("models", "*.safetensors"),
        ("safetensors", "*.safetensors"),
        ("run", "tensors.safetensors"),
    ):
        yield Hostile(
            "a header of 2^60 bytes", kind, lambda root, _, pattern=pattern: _each(root, pattern, header)
        )
        yield Hostile(
            "a tensor of 2^60 numbers",
            kind,
            lambda root, _, pattern=pattern: _each(root, pattern, _tensors()),
        )
        yield Hostile("an empty file", kind, lambda root, _, pattern=pattern: _each(root, pattern, b""))


def _names() -> Iterator[Hostile]:
    for name in ("\x1b[2Jset", "[bold]x", ":smile:", "²", "set\n"):
        yield Hostile(
            f"a folder called {name!r}",
            "recordings",
            lambda root, _, name=name: (root / "set/e1").rename(root / "set" / name),
            (0, 2),
        )
        yield Hostile(
            f"a folder called {name!r}",
            "rlbench",
            lambda root, _, name=name: (root / "set/close_jar").rename(root / "set" / name),
            (0, 2),
        )


def _each(root: Path, pattern: str, content: bytes) -> None:
    """Write the same into every file that fits."""
    found = sorted(root.rglob(pattern))
    assert found, pattern
    for path in found:
        path.write_bytes(content)


def _linked(pattern: str, target: Callable[[Path], Path]) -> Callable[[Path, Path], None]:
    def spoil(root: Path, outside: Path) -> None:
        path = sorted(root.rglob(pattern))[0]
        path.unlink()
        path.symlink_to(target(outside))

    return spoil


def _piped(root: Path, pattern: str) -> None:
    path = sorted(root.rglob(pattern))[0]
    path.unlink()
    os.mkfifo(path)


def _say(path: Path, claims: dict) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **claims}))


def _png(side: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + 3 * side)) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _hdf5_bomb(root: Path) -> None:
    name, shape = "observation/robot_state/cartesian_position", (1 << 26, 6)
    with h5py.File(next(root.rglob("*.h5")), "r+") as file:
        del file[name]
        made = file.create_dataset(name, shape, "f8", chunks=shape, compression="gzip")
        packed = zlib.compressobj(9)
        block = bytes(1 << 24)
        parts = [packed.compress(block) for _ in range(shape[0] * shape[1] * 8 >> 24)]
        made.id.write_direct_chunk((0, 0), b"".join([*parts, packed.flush()]))


def _hdf5_claim(root: Path) -> None:
    with h5py.File(next(root.rglob("*.h5")), "r+") as file:
        del file["observation/robot_state/cartesian_position"]
        file.create_dataset("observation/robot_state/cartesian_position", (10**12, 6), "f8", chunks=(1024, 6))


def _parquet_bomb(root: Path) -> None:
    path = next((root / "set" / "meta" / "episodes").rglob("*.parquet"))
    row = pq.read_table(path).slice(0, 1)
    many = pa.concat_tables([row] * 20_000).combine_chunks()
    with pq.ParquetWriter(path, row.schema, compression="zstd") as writer:
        for _ in range(5):
            writer.write_table(many)


def _npy_claim(root: Path) -> None:
    path = next(root.rglob("actions.npy"))
    np.save(path, np.zeros((4, 8)))
    header = path.read_bytes()
    claimed = header.replace(b"(4, 8), }" + b" " * 12, b"(1000000000000, 8), }")
    assert claimed != header
    path.write_bytes(claimed)


def _tensors() -> bytes:
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 30, 1 << 30], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


def _holds(path: Path, words: str) -> bool:
    return words.encode() in path.read_bytes()
