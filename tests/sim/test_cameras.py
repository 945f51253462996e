"""Rigs stand where they say, and what is projected lands on the pixels that show it."""

from dataclasses import dataclass

import mujoco
import numpy as np
import pytest
import torch

from action_images.sim import RIGS, TASKS, Tabletop, demonstrate
from action_images.sim.render import Renderer
from action_images.sim.shapes import ghost
from action_images.sim.tasks.reach_target import ReachTarget

SIZE = (128, 128)


@dataclass(frozen=True)
class MarkedTool(ReachTarget):
    """A ball of 8 mm at the tool point."""

    @classmethod
    def lay_out(cls, scene, rng):
        tool = next(site for site in scene.spec.sites if site.name == "tool")
        marker = tool.parent.add_body(name="marker", pos=tool.pos)
        ghost(marker.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.008, 0, 0], rgba=[1, 0, 1, 1]))
        return super().lay_out(scene, rng)


def centroid_error_px(environment: Tabletop, body: str) -> list[float]:
    """From a body's projected centre to the middle of its pixels, in each view that shows it well."""
    world, errors = environment.world, []
    # All else made invisible: nothing may hide part of the body.
    world.model.geom_rgba[:, 3] = world.model.geom_bodyid == world.model.body(body).id
    renderer = Renderer(world.model, SIZE)
    for view in range(environment.cameras.batch_shape[0]):
        camera = environment.cameras[view]
        pixels = np.argwhere(renderer.bodies(world.data, camera) == world.model.body(body).id)
        centre, depth = camera.to(torch.float64).project(world.pose(body).translation)
        assert depth > 0
        assert len(pixels) > 0
        middle = torch.from_numpy(pixels[:, ::-1].mean(0) + 0.5)
        errors.append((middle - centre).norm().item())
    renderer.close()
    return errors


@pytest.mark.parametrize("rig", ["sampled", "held_out", "moving"])
def test_the_tool_point_lands_on_its_pixels(rig: str):
    environment, errors = Tabletop(MarkedTool, RIGS[rig], size=SIZE), []
    for seed in range(4):
        environment.begin(seed)
        for step, _ in enumerate(demonstrate(environment)):
            if step % 5 == 0:
                errors += centroid_error_px(environment, "marker")
    assert len(errors) > 20
    assert np.mean(errors) < 0.5
    assert np.max(errors) < 1.0


@pytest.mark.parametrize("task", ["reach_target", "pick_and_lift"])
def test_objects_land_on_their_pixels(task: str):
    environment, errors = Tabletop(task, num_views=3, rig=RIGS["held_out"], size=SIZE), []
    for seed in range(6):
        environment.begin(seed)
        errors += centroid_error_px(
            environment, f"{environment.trial.colour} {'ball' if task == 'reach_target' else 'block'}"
        )
    assert np.mean(errors) < 0.5


@pytest.mark.parametrize("rig", ["sampled", "held_out"])
def test_the_drawn_points_stay_in_all_views_along_every_expert(rig: str):
    offsets = 0.1 * torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0, -1]], dtype=torch.float64)
    inside = []
    for task in TASKS:
        environment = Tabletop(task, RIGS[rig], size=SIZE)
        environment.begin(11)
        for _ in demonstrate(environment):
            pixels, depth = (
                environment.cameras[:, None].to(torch.float64).project(environment.world.tool.apply(offsets))
            )
            inside.append(bool((environment.cameras[0].contains(pixels) & (depth > 0)).all()))
    assert np.mean(inside) > 0.995


def test_train_and_held_out_azimuths_share_nothing():
    for low, high in RIGS["sampled"].azimuth_deg:
        assert all(
            high < other_low or other_high < low for other_low, other_high in RIGS["held_out"].azimuth_deg
        )
    drawn = [RIGS["sampled"].draw(np.random.default_rng(seed), 2, SIZE).azimuth_deg for seed in range(200)]
    assert all(25 <= abs(azimuth) <= 60 for azimuth in np.concatenate(drawn))
    assert min(abs(a - b) for a, b in drawn) >= RIGS["sampled"].min_gap_deg


def test_a_moving_rig_moves_and_the_others_stand_still():
    for name, rig in RIGS.items():
        cameras = rig.draw(np.random.default_rng(0), 2, SIZE)
        still = torch.equal(
            cameras.at(0.0).world_from_camera.translation, cameras.at(0.7).world_from_camera.translation
        )
        assert cameras.moving == (not still) == (name == "moving")


def test_more_views_than_a_rig_can_hold_are_refused():
    with pytest.raises(ValueError, match="3 fixed views, 4 were asked for"):
        RIGS["fixed"].draw(np.random.default_rng(0), 4, SIZE)
    with pytest.raises(ValueError, match="do not fit 25 degrees apart"):
        RIGS["sampled"].draw(np.random.default_rng(0), 6, SIZE)


def test_images_too_large_to_render_are_refused():
    environment = Tabletop("reach_target", size=(64, 4096))
    environment.begin(0)
    with pytest.raises(ValueError, match="the largest is"):
        environment.observation()
