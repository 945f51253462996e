"""Contradictions between a table's declared notation and its column names and numbers."""

import math
import re
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.episodes.dropouts import named
from action_images.episodes.notation import BEYOND, ROTATIONS, UNITS, ToolNotation
from action_images.errors import ActionImagesError
from action_images.geometry import rotation as rotations

FARTHEST_M = 20.0
"""Tool positions farther from the base than this contradict the notation."""
FEW = 0.1
"""Less than this share of rows that are far away are no unit, but rows that were not measured."""
NEAREST_M = 0.1
"""Positions that all stay nearer to the base's origin are steps, not tool positions."""
LITTLE = 0.15
"""A gripper that moves only within this fraction of its declared range is declared in other units."""
STILL_OPENING, NOISY_OPENING = 0.01, 0.02
"""A gripper whose opening changes by less than the first does not move; by less than the second, hardly."""
JUMP_DEG = 60.0
"""No wrist turns farther than this between two frames."""
USUAL_DEG = 25.0
"""No wrist turns farther than this from frame to frame in half of all frames."""
WORDS = {
    "euler_xyz": re.compile(r"(^|_|\.)(roll|pitch|yaw|euler|rpy)", re.IGNORECASE),
    "quaternion": re.compile(r"(^|_|\.)(q[wxyz]|quat\w*|rot_?w)$", re.IGNORECASE),
    "rotvec": re.compile(r"(rotvec|axis_?angle|(^|_|\.)(r[xyz]|w[xyz])$)", re.IGNORECASE),
}
"""Usual names of the columns of a rotation, by notation."""
WITH_W = re.compile(r"(^|_|\.)q?_?(quat_?)?w$", re.IGNORECASE)
JOINT = re.compile(r"(^|_|\.)(j|joint|axis|motor)_?\d|_joint|\.pos$", re.IGNORECASE)
LEROBOTS = ".pos"
"""What LeRobot appends to the names of joints, and of a tool's axes."""
TOOL_AXIS = re.compile(r"(^|[^a-z])[xyz]\.pos$", re.IGNORECASE)
DELTA = re.compile(r"(^|_|\.)(d|delta|vel|v)_?[xyz]|delta|velocity|twist", re.IGNORECASE)
LAST_AXIS = re.compile(
    r"(?:^|[^a-z])([xyz])(?:_(?:m|cm|mm))?$|^[a-z]+[ _.]?pos(?:ition)?[ _.]?([xyz])$", re.IGNORECASE
)
UNIT = re.compile(r"[^a-z](mm|cm)[^a-z]*$", re.IGNORECASE)
DEGREES = re.compile(r"[^a-z]deg(rees?)?[^a-z]*$", re.IGNORECASE)
CLOSING = re.compile(r"(^|[^a-z])clos(e|ed|edness|ing|ure)([^a-z]|$)", re.IGNORECASE)
OPENING = re.compile(r"(^|[^a-z])(open(ed|ness|ing)?|width|aperture)([^a-z]|$)", re.IGNORECASE)
ENTRY = re.compile(r"(?:^|[^a-z])(?:r|m|rot|mat)_?([0-3])_?([0-3])$", re.IGNORECASE)
"""A matrix's entry, by row and column."""
SIDE = re.compile(r"(?:^|[^a-z])(left|right)(?:[^a-z]|$)", re.IGNORECASE)
TURNS = re.compile(r"(?:^|_|\.)(roll|pitch|yaw)", re.IGNORECASE)


def in_names(names: Sequence[str], notation: ToolNotation, *, is_declared: bool = True) -> Iterator[str]:
    """Contradictions of a notation by the names of a pose's columns (x y z, then the rotation).

    `is_declared`: the rotation's notation is declared, not only its number of columns.
    """
    if all(map(TOOL_AXIS.search, names[:3])):
        names = [name.removesuffix(LEROBOTS) for name in names]
    yield from _in_order(names)
    yield from _in_entries(names[3:])
    yield from _in_units(names, notation)
    joints = [name for name in names[:3] if JOINT.search(name)]
    if joints:
        cure = "compute the tool's pose first"
        yield f"the columns {', '.join(joints)} are joint angles by their names; {cure}"
    deltas = [name for name in names if DELTA.search(name)]
    if deltas:
        yield f"the columns {', '.join(deltas)} are steps by their names, not poses; name another feature"
    turn = names[3:]
    if any(WITH_W.search(name) for name in turn):
        first = bool(WITH_W.search(turn[0]))
        likely = "quaternion_wxyz" if first else "quaternion_xyzw"
        if notation.rotation != likely:
            yield _declare(turn, likely, notation)
        return
    euler = any(WORDS["euler_xyz"].search(name) for name in turn)
    if euler and not notation.rotation.startswith("euler"):
        yield _declare(turn, "euler_xyz", notation)
    vector = any(WORDS["rotvec"].search(name) for name in turn)
    if vector and notation.rotation.startswith("quaternion"):
        yield _declare(turn, "rotvec", notation)
    elif vector and not euler and not is_declared:
        named = f"the rotation's columns are named {', '.join(turn)}, which may be a vector or angles"
        yield f'{named}; declare "rotation": "rotvec" or "euler_xyz"'


def in_gripper_name(name: str, notation: ToolNotation) -> Iterator[str]:
    """Contradictions of the declared readings by the name of the gripper's column or feature."""
    closes, opens = (pattern.search(name) is not None for pattern in (CLOSING, OPENING))
    if closes == opens or closes == (notation.closed > notation.open):
        return
    grows = "closed" if closes else "open"
    told = f"the gripper's column is named {name}, which is large when it is {grows}"
    declared = f"'closed' is declared as {notation.closed:g} and 'open' as {notation.open:g}"
    yield f'{told}, and {declared}; exchange the two, or declare "ignore_names": true if the name is wrong'


def tell_rotation(names: Sequence[str]) -> bool:
    """Whether the names of a rotation's columns tell its notation."""
    names = [name.removesuffix(LEROBOTS) for name in names]
    return any(WITH_W.search(name) or WORDS["euler_xyz"].search(name) for name in names)


def _in_order(names: Sequence[str]) -> Iterator[str]:
    """Contradictions by names in another order than x y z or roll pitch yaw."""
    axes = [match[1] or match[2] for match in map(LAST_AXIS.search, names[:3]) if match]
    if sorted(map(str.lower, axes)) == ["x", "y", "z"] and "".join(axes).lower() != "xyz":
        yield f"the columns {', '.join(names[:3])} are not in the order x y z; give 'columns' in that order"
    turns = [match[1].lower() for match in map(TURNS.search, names[3:]) if match]
    if sorted(turns) == ["pitch", "roll", "yaw"] and turns != ["roll", "pitch", "yaw"]:
        yield f"the columns {', '.join(names[3:])} are not in the order roll pitch yaw; give 'columns' so"


def _in_entries(names: Sequence[str]) -> Iterator[str]:
    """Contradictions by a matrix's entries in another order than row by row."""
    entries = [match.groups() for match in map(ENTRY.search, names) if match]
    if len(entries) == len(names) == 9 and entries != sorted(entries):
        yield f"the columns {', '.join(names)} are not a matrix row by row; give 'columns' in that order"


def in_sides(names: Sequence[str]) -> Iterator[str]:
    """Contradictions by columns of a left and of a right arm, in one pose with its gripper."""
    sides = {name: match[1].lower() for name in names if (match := SIDE.search(name))}
    if len(set(sides.values())) > 1:
        named = {side: name for name, side in reversed(sides.items())}
        left, right = named["left"], named["right"]
        yield f"the column {left} is of a left arm, and {right} of a right one; give the columns of one arm"


def _in_units(names: Sequence[str], notation: ToolNotation) -> Iterator[str]:
    """Contradictions by units in the names that differ from those of the notation."""
    units = {match[1].lower() for match in map(UNIT.search, names[:3]) if match}
    if units and units != {notation.position_unit}:
        unit = min(units)
        yield f'the columns {", ".join(names[:3])} are in {unit}; declare "position_unit": "{unit}"'
    if notation.rotation in ("euler_xyz", "rotvec") and any(map(DEGREES.search, names[3:])):
        yield f'the columns {", ".join(names[3:])} are in degrees; declare "rotation": "euler_xyz_deg"'


def _declare(names: Sequence[str], likely: str, notation: ToolNotation) -> str:
    named = f"the rotation's columns are named {', '.join(names)}, which is not {notation.rotation}"
    cure = f'declare "rotation": "{likely}", or "ignore_names": true if the names are wrong'
    return f"{named}; {cure}"


def in_poses(
    numbers: Float[Tensor, "frame columns"], notation: ToolNotation, *, said_absolute: bool = False
) -> Iterator[str]:
    """Contradictions of a notation by the numbers of one episode's poses.

    `said_absolute`: poses are declared not to be steps, so a tool may stay near the origin.
    """
    yield from in_positions(numbers, notation, said_absolute=said_absolute)
    yield from in_turns(numbers[:, 3:], notation)


def in_positions(
    numbers: Float[Tensor, "frame columns"], notation: ToolNotation, *, said_absolute: bool
) -> Iterator[str]:
    """Contradictions by the positions alone."""
    distance = numbers[:, :3].norm(dim=-1)
    farthest = float(distance.max()) * UNITS[notation.position_unit]
    far = distance * UNITS[notation.position_unit] > FARTHEST_M
    if far.any() and far.float().mean() < FEW:
        where = f"the tool is {farthest:.0f} m away in {named(far.nonzero().flatten().tolist())} alone"
        yield f"{where}; drop or repair those rows, or drop the episode"
    elif farthest > FARTHEST_M:
        in_millimetres = float(distance.max()) > 5 * FARTHEST_M
        unit, cure = ("mm", "millimetres by 1000") if in_millimetres else ("cm", "centimetres by 100")
        yield f'the tool is {farthest:.0f} m away; divide {cure}, or declare "position_unit": "{unit}"'
    elif not said_absolute and len(numbers) > 1 and farthest < NEAREST_M and notation.position_unit != "m":
        stays = f"the tool never leaves {1000 * farthest:.0f} mm of its base's origin"
        cure = 'declare "position_unit": "m", or "relative": false if it does stay there'
        yield f"{stays}; {cure}"
    elif not said_absolute and len(numbers) > 1 and farthest < NEAREST_M:
        stays = f"the tool never leaves {1000 * farthest:.0f} mm of its base's origin"
        cure = 'name the feature with absolute poses, or declare "relative": false'
        yield f"{stays}; are these relative (delta) actions? Then {cure}"
    elif farthest < 2e-3:
        yield f'the tool stays within {1000 * farthest:.2g} mm; declare "position_unit": "m"'


def in_turns(turn: Float[Tensor, "frame columns"], notation: ToolNotation) -> Iterator[str]:
    """Contradictions by the rotations alone."""
    told = next(in_angles(turn, notation), None)
    if told is not None:
        yield told
        return
    yield from in_jumps(turn, notation)
    yield from in_speed(turn, notation)


def in_angles(turn: Float[Tensor, "frame columns"], notation: ToolNotation) -> Iterator[str]:
    """Contradictions by the range of the angles."""
    largest = float(turn.abs().max())
    if notation.rotation in ("euler_xyz", "rotvec") and largest > 2 * math.pi + 0.1:
        cure = 'wrap the angles into one turn, or declare "rotation": "euler_xyz_deg"'
        yield f"an angle is {largest:.0f}; {cure}"
    elif notation.rotation == "euler_xyz_deg" and largest <= math.pi + 0.1:
        yield f'no angle is larger than {largest:.2f}; declare "rotation": "euler_xyz"'


def in_jumps(turn: Float[Tensor, "frame columns"], notation: ToolNotation) -> Iterator[str]:
    """Contradictions by jumps that another notation does not have."""
    if len(turn) > 2 and not notation.fast_turns:
        yield from _smoother(turn, notation.rotation)


def in_speed(turn: Float[Tensor, "frame columns"], notation: ToolNotation) -> Iterator[str]:
    """Contradictions by turns that are too fast all the time."""
    if len(turn) > 2 and not notation.fast_turns:
        yield from _always_fast(turn, notation.rotation)


def _smoother(turn: Tensor, declared: str) -> Iterator[str]:
    """A rotation that jumps in the declared notation and turns smoothly in another of as many numbers."""
    jump = _largest_turn_deg(turn, declared)
    if jump is None or jump < JUMP_DEG:
        return
    others = [name for name in ROTATIONS if name != declared and name != "euler_xyz_deg"]
    others = [name for name in others if ROTATIONS[name].num_columns == turn.shape[-1]]
    turns = {name: _largest_turn_deg(turn, name) for name in others}
    smooth = {name: found for name, found in turns.items() if found is not None and found < jump / 4}
    if smooth:
        likely = min(smooth, key=lambda name: smooth[name])
        jumps = f"as {declared} the tool turns by {jump:.0f} degrees from one frame to the next"
        cure = f'declare "rotation": "{likely}", or "fast_turns": true if it does turn so'
        yield f"{jumps}, as {likely} by {smooth[likely]:.0f} at most; {cure}"


def _always_fast(turn: Tensor, declared: str) -> Iterator[str]:
    """Small angles in degrees that turn fast all the time when read as radians."""
    if declared not in ("euler_xyz", "rotvec"):
        return
    matrices = ROTATIONS[declared].to_matrix(turn.double())
    usual = float(torch.rad2deg(rotations.angle_between(matrices[1:], matrices[:-1]).median()))
    if usual > USUAL_DEG:
        turns = f"as {declared} the tool turns by {usual:.0f} degrees from frame to frame in half of all"
        cure = 'Declare "rotation": "euler_xyz_deg", or "fast_turns": true if it does turn so'
        yield f"{turns}; are the angles in degrees? {cure}"


def _largest_turn_deg(turn: Tensor, notation: str) -> float | None:
    """The largest turn between neighbours; None if the numbers are no rotations in this notation."""
    try:
        matrices = ROTATIONS[notation].to_matrix(turn.double())
    except ActionImagesError:
        return None
    return float(torch.rad2deg(rotations.angle_between(matrices[1:], matrices[:-1]).max()))


def told_openings(lowest: float, highest: float) -> str | None:
    """Why openings (lowest and highest of a whole set) are likely in another unit; None if they are not."""
    if not NOISY_OPENING <= highest - lowest < LITTLE:
        return None
    span = f"between {lowest:.3g} and {highest:.3g}"
    moves = f"the gripper's opening moves {span} alone, 0 is closed and 1 open"
    likely = f"declare 'closed' and 'open' as {lowest:.3g} and {highest:.3g}, or the reverse"
    return f"{moves}; is it in metres or another unit? Then {likely}, or scale it"


def is_beyond(lowest: float, highest: float, notation: ToolNotation) -> bool:
    """Whether a gripper's readings lie far outside the declared range."""
    reach = BEYOND * abs(notation.open - notation.closed)
    ends = notation.closed, notation.open
    return lowest < min(ends) - reach or highest > max(ends) + reach


def in_gripper(lowest: float, highest: float, notation: ToolNotation) -> Iterator[str]:
    """Contradictions of the declaration by the lowest and highest gripper reading in a data set."""
    span = abs(notation.open - notation.closed)
    declared = f"'closed' is {notation.closed:g} and 'open' {notation.open:g}"
    reads = f"the gripper reads {lowest:.4g} to {highest:.4g}"
    likely = f"declare 'closed' and 'open' as {lowest:.4g} and {highest:.4g}, or the reverse"
    if is_beyond(lowest, highest, notation):
        yield f"{reads}, far outside what is declared ({declared}); {likely}"
    elif 0 < highest - lowest < LITTLE * span:
        yield f"{reads}, a small part of what is declared ({declared}); {likely}"
