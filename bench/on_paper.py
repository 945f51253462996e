"""How long a plan should take on cards that nobody here has: arithmetic from operations and stated peaks.

Nothing is run. Operations are those of `model.cost`, peaks those of the cards' data sheets (bfloat16, dense).
The share of the peak that is reached is one number, found from the paper: 49.1 s on one H100 for 50 steps
with guidance of the canvas `joint` of `wan2.2-5b`. Several cards are taken to share a pass without loss, so
their times are lower bounds.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from action_images.canvas import MODES
from action_images.model import cost
from action_images.model.build import build_autoencoder
from action_images.model.presets import PRESETS

PAPER_S, PAPER_PASSES, PAPER_8_S = 49.1, 100, 2.3
"""The paper's plan on one H100, its passes (50 steps with guidance), and its plan on eight with caching."""
PEERS_MS = (12, 190)
"""What plans of today's one-step policies take."""
TRIED = ("wan2.2-5b", "wan2.1-1.3b", "base")
WAYS = {"50 steps, guided": 100, "4 steps": 4, "1 step": 1}
"""How a plan is sampled -> passes."""


@dataclass(frozen=True)
class Cards:
    """Some equal cards, by their data sheet."""

    name: str
    number: int
    memory_gb: int
    teraflops: float
    """Dense bfloat16 products, each."""


ALL_CARDS = (
    Cards("24 GB (RTX 4090)", 1, 24, 165.2),
    Cards("80 GB (H100 SXM)", 1, 80, 989.4),
    Cards("8 x 80 GB (H100 SXM)", 8, 80, 989.4),
)


def flops_of(name: str, mode: str) -> float:
    """Operations of one pass of a preset over its own clips from two views."""
    preset = PRESETS[name]
    with torch.device("meta"):
        autoencoder = build_autoencoder(preset)
    factors = (autoencoder.temporal_factor, autoencoder.spatial_factor)
    words = 512 if preset.hashed_words is None else 24
    load = cost.load_of(MODES[mode], preset.num_views, preset.num_frames, preset.size, factors, words)
    return cost.forward_flops(cost.Network.of(preset), load)


def reached() -> float:
    """The share of an H100's peak that the paper's plan reaches, autoencoder and all."""
    return PAPER_PASSES * flops_of("wan2.2-5b", "joint") / PAPER_S / (ALL_CARDS[1].teraflops * 1e12)


def rows(name: str, mode: str, share: float) -> list[dict[str, float | str]]:
    """A line for each kind of cards."""
    flops = flops_of(name, mode)
    weights_gb = 2 * cost.count_parameters(cost.Network.of(PRESETS[name])) / 1e9
    made = []
    for cards in ALL_CARDS:
        speed = cards.number * cards.teraflops * 1e12 * share
        row: dict[str, float | str] = {
            "model": name,
            "mode": mode,
            "cards": cards.name,
            "weights GB": weights_gb,
            "TFLOP a pass": flops / 1e12,
        }
        for way, passes in WAYS.items():
            row[way] = passes * flops / speed
        made.append(row)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    share = reached()
    table: list[dict[str, float | str]] = []
    for name in TRIED:
        for mode in ("joint", "policy") if name in PRESETS else ():
            table += rows(name, mode, share)
    print(f"share of the peak that the paper's plan reaches: {share:.1%}; times in seconds")
    print("| " + " | ".join(table[0]) + " |")
    print("|" + "---|" * len(table[0]))
    for row in table:
        cells = (f"{value:,.3g}" if isinstance(value, float) else value for value in row.values())
        print("| " + " | ".join(cells) + " |")
    print(f"paper: {PAPER_S} s on one H100, {PAPER_8_S} s on eight with caching")
    print(f"one-step policies of today: {PEERS_MS[0]} to {PEERS_MS[1]} ms")
    if asked.json is not None:
        asked.json.write_text(json.dumps({"share": share, "rows": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
