"""Meta-World's 50 tasks: instructions, which Meta-World lacks, and the force of the expert's fingers."""

PHRASINGS: dict[str, tuple[str, ...]] = {
    "assembly-v3": ("put the ring on the peg", "place the nut over the peg", "assemble the ring and the peg"),
    "basketball-v3": ("put the ball in the basket", "dunk the basketball", "drop the ball through the hoop"),
    "bin-picking-v3": (
        "move the cube from one bin to the other",
        "pick the cube and place it in the other bin",
        "put the cube into the empty bin",
    ),
    "box-close-v3": ("close the box with its lid", "put the lid on the box", "cover the box"),
    "button-press-topdown-v3": (
        "press the button from above",
        "push the button down",
        "press down on the button",
    ),
    "button-press-topdown-wall-v3": (
        "press the button behind the wall from above",
        "push the button down past the wall",
        "go over the wall and press down on the button",
    ),
    "button-press-v3": ("press the button", "push the button in", "press the button on the box"),
    "button-press-wall-v3": (
        "go around the wall and press the button",
        "press the button behind the wall",
        "push the button in past the wall",
    ),
    "coffee-button-v3": (
        "press the button of the coffee machine",
        "start the coffee machine",
        "push the coffee machine's button",
    ),
    "coffee-pull-v3": (
        "pull the mug away from the coffee machine",
        "pull the mug to the target",
        "take the mug from the coffee machine",
    ),
    "coffee-push-v3": (
        "push the mug under the coffee machine",
        "push the mug to the coffee machine",
        "slide the mug below the machine",
    ),
    "dial-turn-v3": ("turn the dial", "rotate the dial", "turn the knob around"),
    "disassemble-v3": (
        "take the ring off the peg",
        "lift the nut off the peg",
        "remove the ring from the peg",
    ),
    "door-close-v3": ("close the door", "push the door shut", "shut the door"),
    "door-lock-v3": ("lock the door", "turn the lock of the door", "rotate the lock to lock the door"),
    "door-open-v3": ("open the door", "pull the door open", "open the door by its handle"),
    "door-unlock-v3": ("unlock the door", "turn the lock to unlock the door", "open the lock of the door"),
    "drawer-close-v3": ("close the drawer", "push the drawer shut", "push the drawer in"),
    "drawer-open-v3": ("open the drawer", "pull the drawer open", "pull the drawer out"),
    "faucet-close-v3": ("turn the faucet clockwise", "close the faucet", "turn the faucet off"),
    "faucet-open-v3": ("turn the faucet counterclockwise", "open the faucet", "turn the faucet on"),
    "hammer-v3": (
        "hammer the nail into the wall",
        "hit the nail with the hammer",
        "use the hammer on the nail",
    ),
    "hand-insert-v3": (
        "put the block into the hole",
        "insert the block with the hand",
        "lower the block into the hole",
    ),
    "handle-press-side-v3": (
        "press the handle down from the side",
        "push the handle down sideways",
        "press down the handle beside the arm",
    ),
    "handle-press-v3": ("press the handle down", "push the handle down", "press down the handle"),
    "handle-pull-side-v3": (
        "pull the handle up from the side",
        "lift the handle sideways",
        "pull up the handle beside the arm",
    ),
    "handle-pull-v3": ("pull the handle up", "lift the handle", "pull up the handle"),
    "lever-pull-v3": ("pull the lever up", "lift the lever", "turn the lever up"),
    "peg-insert-side-v3": (
        "insert the peg into the hole",
        "put the peg into the hole in the side",
        "push the peg into the box",
    ),
    "peg-unplug-side-v3": ("unplug the peg", "pull the peg out of the hole", "take the peg out of the side"),
    "pick-out-of-hole-v3": (
        "pick the block out of the hole",
        "take the puck out of the hole",
        "lift the block out of the hole to the target",
    ),
    "pick-place-v3": (
        "pick up the puck and bring it to the target",
        "pick and place the puck at the goal",
        "lift the puck to the target",
    ),
    "pick-place-wall-v3": (
        "bring the puck over the wall to the target",
        "pick up the puck and place it behind the wall",
        "lift the puck across the wall to the goal",
    ),
    "plate-slide-back-side-v3": (
        "slide the plate back from the side of the cabinet",
        "pull the plate sideways out of the cabinet",
        "get the plate out of the cabinet to the side",
    ),
    "plate-slide-back-v3": (
        "slide the plate back out of the cabinet",
        "pull the plate out of the cabinet",
        "get the plate out of the cabinet",
    ),
    "plate-slide-side-v3": (
        "slide the plate sideways into the cabinet",
        "push the plate to the side into the cabinet",
        "move the plate into the cabinet from the side",
    ),
    "plate-slide-v3": (
        "slide the plate into the cabinet",
        "push the plate into the cabinet",
        "move the plate forward into the cabinet",
    ),
    "push-back-v3": (
        "push the puck back to the target",
        "pull the puck back",
        "move the puck back to the goal",
    ),
    "push-v3": ("push the puck to the target", "slide the puck to the goal", "move the puck to the target"),
    "push-wall-v3": (
        "push the puck around the wall to the target",
        "slide the puck past the wall to the goal",
        "move the puck around the wall",
    ),
    "reach-v3": ("reach the target", "move the hand to the goal", "go to the target"),
    "reach-wall-v3": (
        "reach the target behind the wall",
        "go around the wall to the target",
        "move the hand past the wall to the goal",
    ),
    "shelf-place-v3": (
        "put the puck on the shelf",
        "place the block onto the shelf",
        "lift the puck to the shelf",
    ),
    "soccer-v3": ("kick the ball into the goal", "push the ball into the goal", "score a goal with the ball"),
    "stick-pull-v3": (
        "pull the thermos with the stick",
        "use the stick to pull the box",
        "take the stick and pull the thermos back",
    ),
    "stick-push-v3": (
        "push the thermos with the stick",
        "use the stick to push the box",
        "take the stick and push the thermos",
    ),
    "sweep-into-v3": (
        "sweep the puck into the hole",
        "push the block into the hole",
        "sweep the cube into the hole",
    ),
    "sweep-v3": (
        "sweep the puck off the table",
        "push the block off the table",
        "sweep the cube to the side",
    ),
    "window-close-v3": ("close the window", "slide the window shut", "push the window closed"),
    "window-open-v3": ("open the window", "slide the window open", "push the window open"),
}
"""Task -> its instructions in demonstrations."""

CLOSE_EFFORT: dict[str, float] = {
    "assembly-v3": 0.6,
    "basketball-v3": 0.6,
    "bin-picking-v3": 0.6,
    "coffee-pull-v3": 0.7,
    "coffee-push-v3": 0.5,
    "disassemble-v3": 0.8,
    "hammer-v3": 0.8,
    "hand-insert-v3": 0.65,
    "handle-pull-side-v3": 0.6,
    "peg-insert-side-v3": 0.6,
    "peg-unplug-side-v3": 0.1,
    "pick-out-of-hole-v3": 0.1,
    "pick-place-wall-v3": 0.9,
    "push-back-v3": 0.9,
    "push-v3": 0.6,
    "push-wall-v3": 0.6,
    "shelf-place-v3": 0.7,
    "stick-pull-v3": 0.7,
    "stick-push-v3": 0.7,
    "sweep-into-v3": 0.7,
    "sweep-v3": 0.7,
}
"""Task -> the force with which its expert closes the fingers, in (0, 1]; 1 for all others."""

MT10: tuple[str, ...] = (
    "reach-v3",
    "push-v3",
    "pick-place-v3",
    "door-open-v3",
    "drawer-open-v3",
    "drawer-close-v3",
    "button-press-topdown-v3",
    "peg-insert-side-v3",
    "window-open-v3",
    "window-close-v3",
)
"""The ten tasks of MT10 (Yu et al. 2020, "Meta-World")."""

ML45_HELD_OUT: tuple[str, ...] = (
    "bin-picking-v3",
    "box-close-v3",
    "door-lock-v3",
    "door-unlock-v3",
    "hand-insert-v3",
)
"""The five test tasks of ML45."""

EASY: tuple[str, ...] = (
    "button-press-v3",
    "button-press-topdown-v3",
    "button-press-topdown-wall-v3",
    "button-press-wall-v3",
    "coffee-button-v3",
    "dial-turn-v3",
    "door-close-v3",
    "door-lock-v3",
    "door-open-v3",
    "door-unlock-v3",
    "drawer-close-v3",
    "drawer-open-v3",
    "faucet-close-v3",
    "faucet-open-v3",
    "handle-press-v3",
    "handle-press-side-v3",
    "handle-pull-v3",
    "handle-pull-side-v3",
    "lever-pull-v3",
    "plate-slide-v3",
    "plate-slide-back-v3",
    "plate-slide-back-side-v3",
    "plate-slide-side-v3",
    "reach-v3",
    "reach-wall-v3",
    "window-close-v3",
    "window-open-v3",
    "peg-unplug-side-v3",
)
MEDIUM: tuple[str, ...] = (
    "basketball-v3",
    "bin-picking-v3",
    "box-close-v3",
    "coffee-pull-v3",
    "coffee-push-v3",
    "hammer-v3",
    "peg-insert-side-v3",
    "push-wall-v3",
    "soccer-v3",
    "sweep-v3",
    "sweep-into-v3",
)
HARD: tuple[str, ...] = (
    "assembly-v3",
    "hand-insert-v3",
    "pick-out-of-hole-v3",
    "pick-place-v3",
    "push-v3",
    "push-back-v3",
)
VERY_HARD: tuple[str, ...] = (
    "disassemble-v3",
    "shelf-place-v3",
    "stick-pull-v3",
    "stick-push-v3",
    "pick-place-wall-v3",
)
"""Levels of difficulty for results on all fifty tasks (Seo et al. 2023, "Masked World Models")."""
