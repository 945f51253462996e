"""Hello: the shipped model presses a button in the embedded world; hello.mp4 shows what it planned.

python examples/00_hello.py
"""

import action_images as ai

policy = ai.load_policy("shipped")  # a video model of 3.1 M parameters, in the package
world = ai.Tabletop("push_button", size=(256, 256))  # a table, an arm, two calibrated cameras
seen, film = world.reset(seed=1_000_000), []  # a scene that no training saw
while not world.succeeded() and world.num_steps < world.max_steps:
    plan = policy.plan(seen)  # action images of both views are generated, and read back
    for target in plan.trajectory[:16]:  # where the tool is to be, 20 times a second
        world.step(target.world_from_tool, float(target.opening))
        seen = world.observation()
        drawn = ai.draw_uint8(target[None], seen.cameras)  # the same target as an action image
        film.append(ai.overlay(seen.images, drawn[:, 0])[0])
print(f"'{seen.instruction}':", "done" if world.succeeded() else "not done")
ai.write_video("hello.mp4", film, fps=world.control_hz)
