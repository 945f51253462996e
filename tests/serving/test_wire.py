"""Bytes on the wire: what goes in comes out, what openpi sends is read, and nothing else gets in."""

import struct

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from openpi_client import msgpack_numpy

from action_images.serving import protocol
from action_images.serving.messages import Reply, Request
from action_images.serving.protocol import WireError, decode, encode

ARRAYS = st.sampled_from(sorted(protocol.DTYPES)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_side=4))
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
MESSAGES = st.recursive(
    LEAVES | ARRAYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return (
            isinstance(b, np.ndarray)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
        )
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(MESSAGES)
def test_what_is_encoded_is_decoded_bit_for_bit(message):
    assert same(message, decode(encode(message)))


@given(MESSAGES)
def test_the_bytes_are_those_of_openpis_client(message):
    assert encode(message) == msgpack_numpy.packb(message)
    assert same(message, decode(msgpack_numpy.packb(message)))


def test_numpy_scalars_keep_their_type_both_ways():
    for value in (np.float32(0.1), np.int16(-7), np.bool_(True), np.uint8(255)):
        assert encode({"x": value}) == msgpack_numpy.packb({"x": value})
        assert type(decode(encode({"x": value}))["x"]) is type(value)


def test_big_endian_arrays_arrive_with_the_same_numbers():
    sent = np.arange(4, dtype=">f4")
    assert decode(encode(sent)).dtype.str == "<f4"
    assert np.array_equal(decode(encode(sent)), sent)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_in_one_sentence(data):
    refusal = None
    try:
        decode(data)
    except WireError as error:
        refusal = str(error)
    assert refusal is None or (refusal and "\n" not in refusal)


@given(MESSAGES, st.integers(0, 10_000), st.integers(0, 255))
def test_a_message_with_one_byte_changed_is_read_or_refused(message, where, byte):
    data = bytearray(encode({"images": np.zeros((1, 2, 2, 3), np.uint8), "more": message}))
    data[where % len(data)] = byte
    try:
        Request.from_message(decode(bytes(data)))
    except WireError:
        return
    pytest.fail("this is no whole observation, whatever the byte")


@given(st.dictionaries(st.sampled_from([*Request.__dataclass_fields__, "else"]), MESSAGES, max_size=12))
def test_any_map_of_fields_is_an_observation_or_refused(message):
    try:
        request = Request.from_message(message)
    except WireError:
        return
    assert same(request.to_message()["images"], message["images"])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xdd\xff\xff\xff\xff", "more than"),  # a list of four thousand million values in five bytes
        (b"\x91" * 50 + b"\xc0", "nested"),
        ((b"\xdc\x01\x00" + b"\x90" * 256) * 20, "follow"),
        (b"\xdc\xff\xff" + b"\x80" * 65535, "more than"),  # would be megabytes of empty maps
        (b"\xc6\xff\xff\xff\xff", "cut short"),  # four thousand million bytes announced
        (b"", "ends before"),
        (b"\x81\xa1a", "ends before"),
        (b"\x01\x02", "followed by bytes"),
        (b"\xd6\xff\x00\x00\x00\x00", "not used here"),  # a timestamp
        (b"\xc1", "not used here"),
        (b"\xa2\xff\xfe", "not valid msgpack"),  # no UTF-8
        (b"\x81\x01\x02", "not valid msgpack"),  # a number as key
    ],
)
def test_messages_that_would_take_memory_or_make_no_sense_are_refused(data: bytes, says: str):
    with pytest.raises(WireError, match=says):
        decode(data)


@pytest.mark.parametrize("dtype", ["|O", "<U4", "<c8", "|V8", "<M8[s]", "f4", "<f4,<f4", "O", 7, None])
def test_arrays_of_other_types_are_refused(dtype):
    with pytest.raises(WireError, match="dtype"):
        decode(msgpack.packb({b"__ndarray__": True, b"data": b"12345678", b"dtype": dtype, b"shape": [1]}))


@pytest.mark.parametrize("shape", [[3], [-2], [2**62, 2**62], [0, 5], [1] * 9, "2", [2.0], [True], None])
def test_arrays_whose_shape_does_not_fit_are_refused(shape):
    with pytest.raises(WireError, match="array"):
        decode(
            msgpack.packb(
                {b"__ndarray__": True, b"data": struct.pack("<ff", 1, 2), b"dtype": "<f4", b"shape": shape}
            )
        )


def test_nothing_is_sent_that_could_not_be_read():
    for value in (object(), np.array(["text"]), np.array([None]), np.zeros(1, "c8"), 2**70, {"x": {1, 2}}):
        with pytest.raises(WireError, match="cannot be sent"):
            encode(value)


def request(changes: dict) -> dict:
    fields = {
        "images": np.zeros((2, 4, 6, 3), np.uint8),
        "prompt": "go",
        "world_from_tool": np.eye(4),
        "opening": 1,
        "intrinsics": np.ones((2, 3, 3)),
        "world_from_camera": np.ones((2, 4, 4)),
    }
    return {name: value for name, value in {**fields, **changes}.items() if value is not ...}


def test_an_observation_survives_the_wire():
    sent = Request.from_message(
        request({"seq": 3, "timeout_ms": 50.0, "action_format": "euler", "opening": np.float32(0.5)})
    )
    got = Request.from_message(decode(encode(sent.to_message())))
    assert (got.seq, got.timeout_ms, got.action_format, got.opening, got.prompt) == (
        3,
        50.0,
        "euler",
        0.5,
        "go",
    )
    assert same(got.images, sent.images)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": ...}, "lacks the field 'images'"),
        ({"prompt": None}, "lacks the field 'prompt'"),
        ({"imges": 1}, "unknown field 'imges'"),
        ({b"images": 1}, "unknown field"),
        ({"images": np.zeros((2, 4, 6, 4), np.uint8)}, r"'images' must be RGB .* got uint8 \(2, 4, 6, 4\)"),
        ({"images": np.zeros((2, 4, 6, 3), np.float32)}, "'images' must be"),
        ({"images": np.zeros((2, 0, 6, 3), np.uint8)}, "'images' must be"),
        ({"images": np.zeros((17, 1, 1, 3), np.uint8)}, "holds 17 views; at most 16"),
        ({"prompt": "x" * 2001}, "'prompt' must be text"),
        ({"prompt": b"go"}, "'prompt' must be text"),
        ({"opening": 1.5}, "'opening' must be a number from 0 to 1"),
        ({"opening": True}, "'opening' must be a number"),
        ({"opening": float("nan")}, "'opening' must be a number"),
        ({"world_from_tool": np.eye(3)}, r"'world_from_tool' must be an array of floats \(4, 4\) or \(7,\)"),
        ({"world_from_tool": np.full((4, 4), np.inf)}, "'world_from_tool' has numbers that are not finite"),
        ({"intrinsics": np.ones((3, 3, 3))}, "'images' has 2 views, but 'intrinsics' has 3"),
        ({"intrinsics": ...}, "lacks its cameras"),
        ({"calibration": "table"}, "send one of the two"),
        ({"action_format": "joints"}, "no action format 'joints'"),
        ({"seq": -1}, "'seq' must be a whole number"),
        ({"seq": 1.5}, "'seq' must be a whole number"),
        ({"timeout_ms": -1}, "'timeout_ms' must be"),
        ({"confidence": 1}, "'confidence' must be true or false"),
    ],
)
def test_a_field_that_is_wrong_is_named(changes: dict, says: str):
    with pytest.raises(WireError, match=says):
        Request.from_message(request(changes))


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"actions": [1, 2]},
        {"actions": np.zeros(7)},
        {"actions": np.full((2, 7), np.nan)},
        {"actions": np.zeros((0, 7))},
    ],
)
def test_an_answer_without_usable_actions_is_refused(answer):
    with pytest.raises(WireError, match="actions"):
        Reply.from_message(answer)
