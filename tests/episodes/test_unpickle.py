"""Hostile pickles call nothing, take no memory, and leave nothing behind."""

import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from action_images.episodes.episode import EpisodeError
from action_images.episodes.readers.unpickle import Record, read_pickle


def read(tmp_path, content: bytes, records=("rlbench.demo.Demo",)):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    return read_pickle(path, records)


@pytest.mark.parametrize("protocol", range(6))
def test_numbers_text_containers_and_arrays_come_out_the_same(tmp_path, protocol):
    value = {
        "floats": np.linspace(0, 1, 5),
        "matrix": np.arange(12, dtype=np.float32).reshape(3, 4).T,
        "flags": np.array([True, False]),
        "names": np.array(["a", "bc"]),
        "scalar": np.float64(2.5),
        "int": np.int32(7),
        "bytes": b"\x00\xff",
        "plain": [1, 2.5, None, True, ("x", {"y": 2})],
        "big_endian": np.arange(3, dtype=">f4"),
    }
    read_back = read(tmp_path, pickle.dumps(value, protocol))
    for key, expected in value.items():
        assert type(read_back[key]) is type(expected)
        assert np.array_equal(read_back[key], expected) if key != "plain" else read_back[key] == expected


def test_arrays_pickled_by_older_numpy_are_read(tmp_path):
    content = pickle.dumps(np.arange(6.0).reshape(2, 3), 2).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )
    assert b"numpy.core.multiarray" in content
    assert np.array_equal(read(tmp_path, content), np.arange(6.0).reshape(2, 3))


class Runs:
    """On unpickling, calls a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "hostile",
    [
        Runs(os.system, "touch pwned"),
        Runs(eval, "__import__('os').system('touch pwned')"),
        Runs(getattr, "x", "upper"),
        Runs(__import__, "os"),
        Runs(open, "pwned", "w"),
        Runs(np.load, "x.npy"),
        Runs(np.fromfile, "/etc/passwd"),
        Runs(np.memmap, "/etc/passwd"),
        np.array([Runs(os.system, "touch pwned")], object),
        np.zeros(2, [("a", "f4"), ("b", "O")]),
        Record(),
    ],
    ids=lambda hostile: type(hostile).__name__,
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_asks_for_more_is_refused_and_nothing_runs(tmp_path, monkeypatch, hostile, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EpisodeError, match=r"x\.pkl: is not a pickle that can be trusted"):
        read(tmp_path, pickle.dumps({"fine": 1, "not": hostile}, protocol))
    assert not (tmp_path / "pwned").exists()


NDARRAY = b"cnumpy\nndarray\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
ASSEMBLED = {
    "an array of a terabyte": RECONSTRUCT + b"(" + NDARRAY + b"(I1000000000000\ntS'b'\ntR.",
    "an array made by its class": NDARRAY + b"((I1000000000000\nttR.",
    "a dtype of objects": b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.",
    "a dtype with fields": b"cnumpy\ndtype\n(S'V4000000000'\nI0\nI1\ntR.",
    "a state written into a function": RECONSTRUCT + b"(NdS'__code__'\nI1\ns\x86b.",
    "an encoding with side effects": b"c_codecs\nencode\n(VAAAA\nS'bz2'\ntR.",
    "a number that is none": b"cnumpy.core.multiarray\nscalar\n(I1\nS'x'\ntR.",
    "a dotted name": b"\x80\x04\x8c\x0cnumpy.dtypes\x8c\x08__init__\x93.",
    "an attribute of an allowed class": b"\x80\x04\x8c\x0crlbench.demo\x8c\x0dDemo.__bases__\x93.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent name": b"Psomewhere\n.",
    "nothing": b"",
    "no end": b"\x80\x04]",
}


@pytest.mark.parametrize("case", ASSEMBLED)
def test_a_pickle_assembled_by_hand_is_refused(tmp_path, case):
    with pytest.raises(EpisodeError, match="not a pickle that can be trusted"):
        read(tmp_path, ASSEMBLED[case])


def test_what_a_pickle_writes_into_a_stand_in_class_is_gone_with_it(tmp_path):
    """BUILD on a class sets its attributes: the classes are new for each file."""
    content = b"crlbench.demo\nDemo\n(N(dS'poison'\nI1\nstb."
    assert any(code.name == "BUILD" for code, _, _ in pickletools.genops(content))
    poisoned = read(tmp_path, content)
    assert poisoned.poison == 1
    fresh = read(tmp_path, b"crlbench.demo\nDemo\n.")
    assert not hasattr(fresh, "poison")
    assert not hasattr(Record, "poison")


def test_a_record_has_the_attributes_and_none_of_the_code(tmp_path):
    content = b"\x80\x02crlbench.demo\nDemo\n)\x81}U\x05stepsK\x05sb."
    assert read(tmp_path, content).steps == 5


def test_a_file_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    from action_images.episodes.readers import unpickle

    monkeypatch.setattr(unpickle, "MAX_PICKLE_BYTES", 10)
    with pytest.raises(EpisodeError, match="is larger than"):
        read(tmp_path, pickle.dumps(list(range(100))))
    with pytest.raises(EpisodeError, match="is missing"):
        read_pickle(tmp_path / "absent.pkl")


SEED = pickle.dumps({"state": np.zeros((3, 7)), "list": [1, "a", None], "scalar": np.float32(1)}, 2)


@settings(max_examples=300)
@given(
    st.binary(max_size=60)
    | st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), max_size=6)
)
def test_any_bytes_give_a_value_or_one_error(tmp_path_factory, change):
    if isinstance(change, bytes):
        content = change
    else:
        mutated = bytearray(SEED)
        for place, value in change:
            mutated[place] = value
        content = bytes(mutated)
    path = tmp_path_factory.getbasetemp() / "fuzz.pkl"
    path.write_bytes(content)
    try:
        read_pickle(path)
    except EpisodeError as error:
        assert "fuzz.pkl" in str(error)  # noqa: PT017 both outcomes are right


@pytest.mark.parametrize("number", [b"r\xff\xff\xff\x7f", b"p2147483647\n", b"r\x00\x00\x00\x10"])
def test_a_number_that_would_fill_the_memory_is_refused(tmp_path, number):
    path = tmp_path / "memo.pkl"
    path.write_bytes(b"\x80\x02]" + number + b".")
    with pytest.raises(EpisodeError, match=r"memo\.pkl.*remembers"):
        read_pickle(path)
