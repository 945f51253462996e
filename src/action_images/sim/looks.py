"""The looks by name, for training and held out."""

from action_images.sim.look import Look, Paint
from action_images.sim.look_family import PLAIN, LookFamily, Surface
from action_images.sim.sensor import SensorRanges

TRAINED_HUES = ((0.0, 0.12), (0.22, 0.40), (0.52, 0.72), (0.88, 1.0))
UNSEEN_HUES = ((0.15, 0.20), (0.42, 0.49), (0.74, 0.86))
TRAINED_TEXTURES = (PLAIN, PLAIN, "clouds", "wood", "tiles", "gradient", "speckle")
UNSEEN_TEXTURES = ("dots", "cells", "zigzag")

LOOKS: dict[str, Look | LookFamily] = {
    "train": Look(
        table=Paint((0.04, 0.14), (0.10, 0.45), (0.45, 0.85)),
        floor=Paint((0.50, 0.70), (0.05, 0.35), (0.20, 0.60)),
        furniture=Paint((0.05, 0.12), (0.15, 0.40), (0.65, 0.90)),
        shade=(0.88, 1.0),
        light_tilt_deg=(10, 40),
        brightness=(0.50, 0.70),
        ambient=(0.45, 0.55),
    ),
    "wide": LookFamily(
        table=Surface(TRAINED_HUES, (0.0, 0.65), (0.20, 0.95), TRAINED_TEXTURES),
        floor=Surface(TRAINED_HUES, (0.0, 0.60), (0.10, 0.80), TRAINED_TEXTURES),
        furniture=Surface(TRAINED_HUES, (0.0, 0.60), (0.30, 0.95), TRAINED_TEXTURES),
        links=Surface(TRAINED_HUES, (0.0, 0.45), (0.30, 0.97)),
        joints=Surface(TRAINED_HUES, (0.0, 0.50), (0.08, 0.60)),
        fingers=Surface(TRAINED_HUES, (0.0, 0.40), (0.05, 0.55)),
        clutter_paint=Surface(TRAINED_HUES, (0.0, 0.35), (0.15, 0.85)),
        shade=(0.75, 1.0),
        light_tilt_deg=(0, 40),
        brightness=(0.35, 0.80),
        ambient=(0.28, 0.60),
        light_tint=(0.85, 1.0),
        fill=(0.0, 0.25),
        shadow_share=0.2,
        sensor=SensorRanges((0.75, 1.25), (0.85, 1.2), (0.90, 1.10), (0.0, 10.0), (0.0, 0.03), (40, 95), 0.4),
        vary_sizes=True,
    ),
    "unseen": LookFamily(
        table=Surface(UNSEEN_HUES, (0.25, 0.65), (0.30, 0.95), UNSEEN_TEXTURES),
        floor=Surface(UNSEEN_HUES, (0.25, 0.60), (0.20, 0.80), UNSEEN_TEXTURES),
        furniture=Surface(UNSEEN_HUES, (0.20, 0.50), (0.40, 0.90), UNSEEN_TEXTURES),
        links=Surface(UNSEEN_HUES, (0.10, 0.35), (0.50, 0.95)),
        joints=Surface(UNSEEN_HUES, (0.10, 0.40), (0.10, 0.45)),
        fingers=Surface(UNSEEN_HUES, (0.10, 0.40), (0.08, 0.40)),
        clutter_paint=Surface(UNSEEN_HUES, (0.10, 0.35), (0.20, 0.85)),
        shade=(0.72, 0.95),
        light_tilt_deg=(44, 58),
        brightness=(0.60, 0.85),
        ambient=(0.32, 0.48),
        light_tint=(0.88, 1.0),
        fill=(0.0, 0.0),
        shadow_share=1.0,
        sensor=SensorRanges(
            (0.80, 1.20), (0.90, 1.15), (0.92, 1.08), (0.0, 8.0), (0.0, 0.025), (50, 95), 0.3
        ),
    ),
    "checkered": Look(
        table=Paint((0.55, 0.85), (0.05, 0.30), (0.25, 0.95)),
        floor=Paint((0.00, 0.40), (0.30, 0.60), (0.30, 0.70)),
        furniture=Paint((0.60, 0.90), (0.10, 0.35), (0.45, 0.80)),
        shade=(0.70, 0.86),
        light_tilt_deg=(42, 52),
        brightness=(0.72, 0.85),
        ambient=(0.36, 0.44),
        pattern="checker",
        shadows=True,
        clutter=5,
    ),
}
"""`train` and `wide` are for training, `unseen` and `checkered` for evaluation.

`unseen` shares no kind of texture, no hue and no direction of light with `train` or `wide`. `checkered`
shares no range of table, floor or light with `train`, but hues with `wide`.
"""
