"""Experts of robosuite's tasks: motions of the tool, based on the simulator's state of its objects."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from action_images.geometry import Pose
from action_images.sim.motion import Motion, about, carried, downward, grip, move, shifted

if TYPE_CHECKING:
    from action_images.benchmarks.robosuite_environment import Robosuite

LATCH_TURN = 1.2
"""The angle by which a door's handle is turned to unlatch the door (rad)."""
BEHIND = 0.012
"""The distance of the tool point behind the middle of a door's handle (m); the grip holds by friction."""
DOOR_TURN = 0.38
"""The angle by which a door is opened (rad); at .3 robosuite counts it as open, at .4 is its limit."""


def lift(world: "Robosuite") -> Iterator[Motion]:
    """Lift the cube by 8 cm."""
    cube = world.body("cube_main")
    yield from pick(cube.translation, yaw=near_yaw(world.tool, cube.rotation), up=0.08)


def stack(world: "Robosuite") -> Iterator[Motion]:
    """Put the red cube onto the green one."""
    red, green = world.body("cubeA_main"), world.body("cubeB_main")
    yaw = near_yaw(world.tool, red.rotation)
    yield from pick(red.translation, yaw=yaw, up=0.1)
    yield from drop(green.translation + green.translation.new_tensor([0, 0, 0.047]), yaw=yaw, up=0.1)


def put_can(world: "Robosuite") -> Iterator[Motion]:
    """Put the can into its bin."""
    yaw = near_yaw(world.tool, torch.eye(3, dtype=torch.float64))
    can = world.body("Can_main").translation
    place = can + can.new_tensor([0, 0, 0.02])
    yield from pick(place, yaw=yaw, up=0.15)
    simulator = world.simulator
    bin_place = simulator.target_bin_placements[simulator.object_to_id["can"]]
    goal = torch.tensor([bin_place[0], bin_place[1], place[2].item() + 0.02], dtype=torch.float64)
    yield from drop(goal, yaw=yaw, up=0.15)


def put_square_nut(world: "Robosuite") -> Iterator[Motion]:
    """Put the square nut onto its peg, held by its handle and aligned with the peg."""
    site = world.simulator.sim.model.site_name2id("SquareNut_handle_site")
    handle, nut = torch.from_numpy(world.data.site_xpos[site].copy()), world.body("SquareNut_main")
    away = handle - nut.translation
    across = about((0, 0, 1), math.atan2(away[1].item(), away[0].item()))
    yield from pick(handle, yaw=near_yaw(world.tool, across, period=math.pi), up=0.18)
    nut, tool = world.body("SquareNut_main"), world.tool
    yaw = math.atan2(nut.rotation[1, 0].item(), nut.rotation[0, 0].item())
    turn = about((0, 0, 1), math.pi / 2 * round(yaw / (math.pi / 2)) - yaw)
    peg = torch.from_numpy(world.data.xpos[world.simulator.peg1_body_id].copy())
    place = peg + turn @ (tool.translation - nut.translation)
    above = Pose(turn @ tool.rotation, torch.stack([place[0], place[1], tool.translation[2]]))
    yield move(above, opening=0.0)
    yield grip(0.0)
    yield move(shifted(above, (0, 0, -0.16)), opening=0.0)
    yield grip(1.0)
    yield move(above, opening=1.0)


def open_door(world: "Robosuite") -> Iterator[Motion]:
    """Open the door: grip its handle from the front, turn it down, then pull the door about its hinge."""
    model, data = world.model, world.data
    handle = torch.from_numpy(data.site_xpos[world.simulator.door_handle_site_id].copy())
    along, inward, up = torch.from_numpy(data.geom("Door_handle").xmat.reshape(3, 3).copy()).unbind(-1)
    place = handle + BEHIND * inward
    either = [Pose(torch.stack([-side * along, side * up, inward], -1), place) for side in (-1, 1)]
    grasp = min(either, key=lambda pose: world.tool.distance(pose)[1].item())
    yield move(shifted(grasp, (-0.12 * inward).tolist()), opening=1.0, pace=0.7)
    yield move(grasp, opening=1.0)
    yield grip(1.0, num_steps=3)
    yield grip(0.0, num_steps=8)
    hinge, latch = model.joint("Door_hinge").id, model.joint("Door_latch_joint").id
    pivot, axis = torch.from_numpy(data.xanchor[latch].copy()), data.xaxis[latch].tolist()
    turned = carried(grasp, pivot, axis, LATCH_TURN)
    yield move(*turned, opening=0.0)
    yield grip(0.0, num_steps=3)
    pivot = torch.from_numpy(data.xanchor[hinge].copy())
    yield move(*carried(turned[-1], pivot, (0, 0, 1), DOOR_TURN), opening=0.0, pace=0.5)


def pick(place: torch.Tensor, *, yaw: float, up: float) -> Iterator[Motion]:
    """Grip the object at a place from above, and lift it by `up` (m)."""
    grasp = downward(place, yaw)
    yield move(shifted(grasp, (0, 0, up)), opening=1.0)
    yield move(grasp, opening=1.0)
    yield grip(1.0, num_steps=3)  # the arm lags behind its commands
    yield grip(0.0, num_steps=8)
    yield move(shifted(grasp, (0, 0, up)), opening=0.0)


def drop(place: torch.Tensor, *, yaw: float, up: float) -> Iterator[Motion]:
    """Put the held object down at a place, and move up by `up` (m)."""
    goal = downward(place, yaw)
    yield move(shifted(goal, (0, 0, up)), opening=0.0)
    yield move(goal, opening=0.0)
    yield grip(0.0, num_steps=4)
    yield grip(1.0)
    yield move(shifted(goal, (0, 0, up)), opening=1.0)


def near_yaw(tool: Pose, rotation: torch.Tensor, *, period: float = math.pi / 2) -> float:
    """The yaw (rad) of a grasp along a body's axes that is nearest to the yaw of a tool."""
    yaw = math.atan2(rotation[1, 0].item(), rotation[0, 0].item())
    now = math.atan2(tool.rotation[1, 0].item(), tool.rotation[0, 0].item())
    return yaw + period * round((now - yaw) / period)
