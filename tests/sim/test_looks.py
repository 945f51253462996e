"""Looks: what judging shows was in no training scene, and a seed looks the same whenever it is looked at."""

import colorsys
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest
import torch

from action_images.sim import LOOKS, Look, LookFamily, Tabletop, demonstrate
from action_images.sim.look import Paint
from action_images.sim.look_family import PLAIN, Surface
from action_images.sim.sensor import SensorRanges
from action_images.sim.textures import PATTERNS, texture

WIDE, UNSEEN = LOOKS["wide"], LOOKS["unseen"]
SMALL = {"size": (48, 64)}


def hues(look: Look | LookFamily) -> list[tuple[float, float]]:
    """All ranges of hue of what no instruction names."""
    found: list[tuple[float, float]] = []
    for field in fields(look):
        part = getattr(look, field.name)
        if isinstance(part, Surface):
            found += part.hues
        if isinstance(part, Paint):
            found.append(part.hue)
    return found


def textures(look: LookFamily) -> set[str]:
    parts = [getattr(look, field.name) for field in fields(look)]
    return {kind for part in parts if isinstance(part, Surface) for kind in part.textures} - {PLAIN}


@pytest.mark.parametrize("trained", ["train", "wide"])
def test_the_unseen_look_shares_no_hue_and_no_direction_of_light_with_training(trained: str):
    for (low, high), (other_low, other_high) in product(hues(LOOKS[trained]), hues(UNSEEN)):
        assert high < other_low or other_high < low
    assert LOOKS[trained].light_tilt_deg[1] < UNSEEN.light_tilt_deg[0]
    assert UNSEEN.fill == (0, 0)


def test_no_texture_of_training_is_one_of_judging():
    assert textures(WIDE) | textures(UNSEEN) == set(PATTERNS)
    assert not textures(WIDE) & textures(UNSEEN)
    assert PLAIN not in UNSEEN.table.textures
    assert LOOKS["checkered"].pattern not in textures(WIDE)
    assert LOOKS["checkered"].light_tilt_deg[0] > WIDE.light_tilt_deg[1]


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_texture_is_made_of_its_two_paints_alone(kind: str):
    rng = np.random.default_rng(0)
    for surface in (WIDE.table, UNSEEN.table):
        paints = np.array(surface.draw(rng, 2))[:, :3]
        image = texture(kind, rng, paints)
        assert image.shape == (64, 64, 3)
        assert image.std() > 0.5
        low, high = np.floor(255 * paints.min(0)), np.ceil(255 * paints.max(0))
        assert (image >= low).all()
        assert (image <= high).all()
        colourful = image[np.ptp(image.astype(int), axis=-1) > 60].reshape(-1, 3)[::97] / 255
        for hue, _, _ in (colorsys.rgb_to_hsv(*pixel) for pixel in colourful):
            assert any(bottom - 0.02 <= hue <= top + 0.02 for bottom, top in surface.hues)


@pytest.mark.parametrize("look", ["wide", "unseen"])
def test_a_seed_looks_the_same_whenever_it_is_looked_at(look: str):
    first, second = (Tabletop("open_door", look=LOOKS[look], **SMALL) for _ in range(2))
    second.reset(3)  # what was before leaves no trace
    seen = first.reset(7)
    assert torch.equal(seen.images, second.reset(7).images)
    assert torch.equal(seen.images, first.observation().images)
    first.step(first.told, 1.0)
    assert not torch.equal(seen.images, first.observation().images)
    first.close()
    second.close()


def test_what_is_judged_in_the_unseen_look_is_the_scene_of_the_usual_one():
    for name, body in (
        ("push_button", "{colour} button"),
        ("open_drawer", "drawer"),
        ("open_jar", "{colour} lid"),
    ):
        usual, unseen, wide = (Tabletop(name, look=LOOKS[look]) for look in ("train", "unseen", "wide"))
        for world in (usual, unseen, wide):
            world.begin(4)
        assert usual.instruction == unseen.instruction == wide.instruction
        assert usual.trial == unseen.trial
        named = body.format(**vars(usual.trial))
        assert torch.equal(usual.world.pose(named).matrix(), unseen.world.pose(named).matrix())


@pytest.mark.parametrize("name", ["close_box", "close_drawer", "open_drawer", "push_button", "place_in_bowl"])
def test_the_wide_look_varies_sizes_and_the_expert_follows(name: str):
    usual, wide = Tabletop(name), Tabletop(name, look=WIDE)
    usual.begin(11)
    wide.begin(11)
    assert usual.trial != wide.trial
    for _ in demonstrate(wide):
        pass
    assert wide.succeeded()


def test_a_camera_without_faults_changes_nothing():
    light = torch.randint(
        0, 256, (2, 3, 24, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    perfect = SensorRanges().draw(np.random.SeedSequence(0), 2)
    assert torch.equal(perfect.images(light, 0), light)


@pytest.mark.parametrize(
    ("ranges", "brighter"),
    [
        (SensorRanges(exposure=(1.3, 1.3)), True),
        (SensorRanges(exposure=(0.7, 0.7)), False),
        (SensorRanges(gamma=(0.8, 0.8)), True),
    ],
)
def test_exposure_and_gamma_brighten_and_darken(ranges: SensorRanges, brighter: bool):
    light = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8)
    seen = ranges.draw(np.random.SeedSequence(0), 1).images(light, 0)
    assert bool((seen > light).all()) == brighter


def test_noise_is_new_at_each_instant_and_each_view_has_a_camera_of_its_own():
    light = torch.full((2, 3, 32, 32), 120, dtype=torch.uint8)
    sensors = replace(WIDE.sensor, noise=(0.02, 0.02)).draw(np.random.SeedSequence(1), 2)
    assert torch.equal(sensors.images(light, 5), sensors.images(light, 5))
    assert not torch.equal(sensors.images(light, 5), sensors.images(light, 6))
    assert sensors.views[0] != sensors.views[1]


def test_the_robot_is_painted_and_touches_as_before():
    usual, wide = Tabletop("reach_target"), Tabletop("reach_target", look=WIDE)
    usual.begin(0)
    wide.begin(0)
    for name in ("hand", "left_finger"):
        one, other = usual.world.model.geom(name), wide.world.model.geom(name)
        assert (one.rgba != other.rgba).any()
        assert (one.friction == other.friction).all()
        assert one.contype == other.contype
