"""Experts of ManiSkill's tasks: motions of the tool, based on the simulator's state of its objects."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from action_images.benchmarks.robosuite_scripts import drop, near_yaw, pick
from action_images.geometry import Pose
from action_images.sim.motion import Motion, downward, grip, move, shifted

if TYPE_CHECKING:
    from action_images.benchmarks.maniskill_environment import ManiSkill

OVER = 0.1
"""Height (m) over a thing at which the tool comes and goes."""
OVER_CUBE = 0.3
"""Height (m) at which the tool is carried over the cube: held by its end, it hangs down."""
CUBE_AT = -0.12
"""The x (m) to which the cube is pulled with the tool; ManiSkill wants it within .6 m of the arm's base."""


def pick_cube(world: "ManiSkill") -> Iterator[Motion]:
    """Bring the cube to the green ball, and keep it there."""
    cube = world.thing("cube")
    yaw = near_yaw(world.tool, cube.rotation)
    yield from pick(cube.translation, yaw=yaw, up=0.06)
    yield move(downward(world.thing("goal_site").translation, yaw), opening=0.0)


def stack_cube(world: "ManiSkill") -> Iterator[Motion]:
    """Put the red cube onto the green one."""
    red, green = world.thing("cubeA"), world.thing("cubeB").translation
    yaw = near_yaw(world.tool, red.rotation)
    yield from pick(red.translation, yaw=yaw, up=OVER)
    yield from drop(green + green.new_tensor([0, 0, 0.042]), yaw=yaw, up=OVER)


def place_sphere(world: "ManiSkill") -> Iterator[Motion]:
    """Put the ball into the bin, held above its middle so that the fingers stay clear of the bin's edges."""
    ball, basket = world.thing("obj").translation, world.thing("bin").translation
    yaw = near_yaw(world.tool, torch.eye(3, dtype=torch.float64))
    high = ball.new_tensor([0, 0, 0.006])
    yield from pick(ball + high, yaw=yaw, up=OVER)
    yield from drop(basket + high + ball.new_tensor([0, 0, 0.026]), yaw=yaw, up=OVER)


def push_cube(world: "ManiSkill") -> Iterator[Motion]:
    """Push the cube away from the arm onto the target, with closed fingers."""
    yield from slide(world, behind=-0.07, short=-0.06)


def pull_cube(world: "ManiSkill") -> Iterator[Motion]:
    """Pull the cube towards the arm onto the target, with closed fingers behind it."""
    yield from slide(world, behind=0.07, short=0.06)


def slide(world: "ManiSkill", *, behind: float, short: float) -> Iterator[Motion]:
    """Go down `behind` the cube, then along x until `short` of the target's centre (m)."""
    cube, goal = world.thing("obj").translation, world.thing("goal_region").translation
    yaw = near_yaw(world.tool, torch.eye(3, dtype=torch.float64))
    start = downward(cube + cube.new_tensor([behind, 0, 0]), yaw)
    end = downward(torch.stack([goal[0] + short, cube[1], cube[2]]), yaw)
    yield move(shifted(start, (0, 0, OVER)), opening=0.0)
    yield move(start, opening=0.0)
    yield move(end, opening=0.0)


def pull_cube_with_tool(world: "ManiSkill") -> Iterator[Motion]:
    """Take the tool by its end, put its hook behind the cube, and pull."""
    tool, cube = world.thing("l_shape_tool").translation, world.thing("cube").translation
    yaw = near_yaw(world.tool, torch.eye(3, dtype=torch.float64), period=math.pi)
    held = tool.new_tensor([0.03, 0, 0])
    grasp = downward(tool + held, yaw)
    yield from grasped(grasp)
    hooked = torch.stack([cube[0] - 0.1, cube[1] - 0.06, tool[2] + 0.004]) + held
    for place in (tool + held, hooked):
        yield move(shifted(downward(place, yaw), (0, 0, OVER_CUBE)), opening=0.0, pace=0.7)
    yield move(downward(hooked, yaw), opening=0.0, pace=0.7)
    nearer = downward(hooked, yaw)
    yield move(shifted(nearer, (CUBE_AT - 0.03 - cube[0].item(), 0, 0)), opening=0.0, pace=0.7)


def poke_cube(world: "ManiSkill") -> Iterator[Motion]:
    """Take the peg by its near half, and push the cube with its head onto the target."""
    peg, cube = world.thing("peg").translation, world.thing("cube").translation
    goal = world.thing("goal_region").translation
    yaw = near_yaw(world.tool, torch.eye(3, dtype=torch.float64), period=math.pi)
    held = peg.new_tensor([-0.05, 0, 0])
    grasp = downward(peg + held, yaw)
    yield from grasped(grasp)
    head = torch.stack([cube[0] - 0.19, cube[1], peg[2] + 0.004]) + held
    yield move(shifted(grasp, (0, 0, 0.03)), opening=0.0)
    yield move(shifted(downward(head, yaw), (0, 0, 0.03)), opening=0.0)
    yield move(downward(head, yaw), opening=0.0)
    along = goal[0] - 0.02 - 0.12 - head[0] + held[0]
    yield move(shifted(downward(head, yaw), (along.item(), 0, 0)), opening=0.0)


def grasped(grasp: Pose) -> Iterator[Motion]:
    """Grip a thing at a pose from above."""
    yield move(shifted(grasp, (0, 0, OVER)), opening=1.0)
    yield move(grasp, opening=1.0)
    yield grip(1.0, num_steps=2)
    yield grip(0.0, num_steps=8)
