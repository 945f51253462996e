"""How often a server notices that the cameras of two views were exchanged, and how often it is wrong.

    python bench/exchanged_views.py --seeds 10

The shipped weights see each scene of ten tasks once in order and once exchanged. Ten seeds take about 3
minutes of one processor.
"""

import argparse
import time
from itertools import product

import torch

from action_images.benchmarks import find_benchmark
from action_images.errors import ActionImagesError
from action_images.evaluation.statistics import wilson_interval
from action_images.policies import policy_named
from action_images.robot import FindsTool
from action_images.serving.exchanged import judged
from action_images.sim import LOOKS, RIGS, Tabletop

FIRST_SEED = 500_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="scenes of each task")
    arguments = parser.parse_args()
    policy = policy_named("shipped").make()
    assert isinstance(policy, FindsTool)
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
    print("| look | rig | refused if exchanged | refused if in order | s of one processor a look |")
    print("|---|---|---|---|---|")
    for look, rig in product(("train", "unseen"), ("sampled", "held_out")):
        refused = {"exchanged": 0, "in order": 0}
        scenes, used = list(product(find_benchmark("tabletop").trained, seeds)), 0.0
        for task, seed in scenes:
            world = Tabletop(task, RIGS[rig], look=LOOKS[look], num_views=2, size=(128, 128))
            seen = world.reset(seed)
            begun = time.process_time()
            misses = policy.tool_misses(seen)
            used += time.process_time() - begun
            world.close()
            for name, order in (("in order", [0, 1]), ("exchanged", [1, 0])):
                refused[name] += is_refused(misses[:, order])
        rates = [rate(refused[name], len(scenes)) for name in ("exchanged", "in order")]
        print(f"| {look} | {rig} | {' | '.join(rates)} | {used / len(scenes):.2f} |", flush=True)


def is_refused(misses: torch.Tensor) -> bool:
    """Whether a server would refuse the first observation."""
    try:
        judged(misses)
    except ActionImagesError:
        return True
    return False


def rate(count: int, total: int) -> str:
    """In percent, with its 95 % Wilson interval."""
    low, high = wilson_interval(count, total)
    return f"{count / total:.0%} ({low:.0%}-{high:.0%})"


if __name__ == "__main__":
    main()
