"""Several data sets as one endless stream of draws, in an order that depends on (seed, index) alone."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import gcd

from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, EpisodeError
from action_images.errors import ActionImagesError
from action_images.samples.frames_cache import FramesCache
from action_images.samples.mirror import mirrored
from action_images.samples.sample import Sample, cut
from action_images.samples.stateless_random import choose, permuted, random_bits, uniform
from action_images.samples.window import Cutting, Window

SLOTS = 1000
"""Ratios are rounded to a thousandth and are exact over this many draws."""


@dataclass(frozen=True)
class Decisions:
    """The random decisions for each sample: its mode, dropped conditions, and mirroring.

    `modes` are weights by name; `drop_text` may give a mode its own probability, as {"label": 1.0} does. For
    `first_frame_modes` only the first frame of videos is decoded.
    """

    modes: Mapping[str, float] = field(default_factory=dict)
    drop_text: float | Mapping[str, float] = 0.0
    mirror: float = 0.0
    first_frame_modes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Draw:
    """One element of the stream: a window of a source, with the decisions for it."""

    index: int
    source: str
    epoch: int
    window: Window
    mode: str | None
    drop_text: bool
    mirror: bool
    seed: int

    def uniform(self, purpose: str) -> float:
        """A random number in [0, 1) of this draw for any further decision, fixed for each purpose."""
        return uniform(self.seed, self.index, purpose)


class Source:
    """The windows of one data set that training may use."""

    def __init__(
        self,
        name: str,
        dataset: Dataset,
        cutting: Cutting,
        ratio: float = 1.0,
        views: Sequence[str] | None = None,
        num_views: int | None = None,
        keep: Callable[[str], bool] = lambda _: True,
        decisions: Decisions | None = None,
        *,
        draws_actions: bool = False,
    ):
        """A source that draws from `views` (None: all), `num_views` a sample (None: all, in their order).

        `keep` says for an episode id whether it belongs to this split. `decisions` are this source's own
        (None: the mixture's). `used` has the places of the episodes that give windows. `too_short` lists
        those that give none. With `draws_actions`,
        `bare` lists the episodes left out because they have no tool poses or a view is not calibrated. Set
        `cache` if the data set's frames are decoded already.
        Raises EpisodeError if no window is left, and ValueError for views that do not exist. If actions are
        drawn from a data set opened with commands, an episode without commanded poses raises EpisodeError.
        """
        self.name, self.dataset, self.cutting, self.ratio = name, dataset, cutting, ratio
        self.decisions, self.draws_actions = decisions, draws_actions
        self.cache: FramesCache | None = None
        self.views = tuple(dataset.view_names if views is None else views)
        self.num_views = len(self.views) if num_views is None else num_views
        unknown = sorted(set(self.views) - set(dataset.view_names))
        if unknown or not 1 <= self.num_views <= len(self.views):
            raise ActionImagesError(
                f"{name}: {self.num_views} of the views {self.views} were asked for, there are "
                f"{dataset.view_names}"
            )
        if not ratio > 0:
            raise ActionImagesError(f"{name}: a ratio is greater than 0, got {ratio}")
        kept = [place for place, episode_id in enumerate(dataset.ids) if keep(episode_id)]
        bare = {place for place in kept if draws_actions and not dataset.draws_actions(place, self.views)}
        self.bare = [dataset.ids[place] for place in sorted(bare)]
        self._episodes = [place for place in kept if place not in bare]
        if self.wants_commands:
            for place in self._episodes:
                if not dataset.commands_poses(place):
                    raise self._without_commands(dataset.ids[place])
        counts = [cutting.num_windows(dataset.length(place)) for place in self._episodes]
        self.used = [place for place, count in zip(self._episodes, counts, strict=True) if count > 0]
        self.too_short = [
            dataset.ids[place] for place, count in zip(self._episodes, counts, strict=True) if count == 0
        ]
        self._ends = list(accumulate(counts))
        if not self._ends or self._ends[-1] == 0:
            needed = (
                f"windows need {cutting.needed()} frames"
                + f", {len(bare)} have no tool poses or an uncalibrated view" * bool(bare)
            )
            raise EpisodeError(
                f"{name}: none of {len(kept)} episodes gives a window ({needed}); choose other windows, "
                "calibrated views or another split"
            )

    def __len__(self) -> int:
        return self._ends[-1]

    def episode(self, place: int) -> Episode:
        """The episode at a place of the data set, with frames from the cache if there is one."""
        episode = self.dataset[place] if self.cache is None else self.cache.episode(place)
        if self.wants_commands and episode.trajectory is not None and episode.told is None:
            raise self._without_commands(episode.id)
        return episode

    @property
    def episodes(self) -> Sequence[int]:
        """The places of the episodes in use."""
        return self._episodes

    @property
    def wants_commands(self) -> bool:
        """Whether commanded poses are drawn."""
        return self.draws_actions and self.dataset.with_told

    def _without_commands(self, episode_id: str) -> EpisodeError:
        return EpisodeError(
            f"{self.dataset.path}: episode {episode_id} has no commanded poses ('action' holds none), and "
            "this source draws them (drawn: told); take drawn: reached, or leave such episodes out"
        )

    def window(self, number: int, views: Sequence[str]) -> Window:
        """The n-th of all windows."""
        place = bisect_right(self._ends, number)
        before = self._ends[place - 1] if place else 0
        return self.cutting.window(self.dataset.ids[self._episodes[place]], views, number - before)

    def choose_views(self, *key: object) -> tuple[str, ...]:
        """The views of one sample, in random order if fewer than all are wanted."""
        if self.num_views == len(self.views):
            return self.views
        order = [permuted(place, len(self.views), *key) for place in range(self.num_views)]
        return tuple(self.views[place] for place in order)


class Mixture:
    """Draws from several sources in given ratios; each source's windows all come once before any repeats.

    `mixture[index]` is a draw for any index >= 0, in constant time. To resume, continue at an index; to share
    among ranks, take every n-th.
    """

    def __init__(self, sources: Sequence[Source], seed: int, decisions: Decisions | None = None):
        self.sources, self.seed = tuple(sources), seed
        self.decisions = Decisions() if decisions is None else decisions
        if not self.sources or len({source.name for source in self.sources}) < len(self.sources):
            raise ActionImagesError("a mixture needs at least one source, each with a name of its own")
        self._shares = shares([source.ratio for source in self.sources])
        self._slots: list[tuple[int, int]] = []
        self._places: dict[str, dict[str, int]] = {}
        for number, (source, share) in enumerate(zip(self.sources, self._shares, strict=True)):
            self._slots += [(number, turn) for turn in range(share)]
            self._places[source.name] = {name: place for place, name in enumerate(source.dataset.ids)}

    def __getitem__(self, index: int) -> Draw:
        cycle, slot = divmod(index, len(self._slots))
        number, turn = self._slots[permuted(slot, len(self._slots), self.seed, "cycle", cycle)]
        source = self.sources[number]
        epoch, place = divmod(cycle * self._shares[number] + turn, len(source))
        window_number = permuted(place, len(source), self.seed, source.name, epoch)
        window = source.window(window_number, source.choose_views(self.seed, index, "views"))
        return Draw(
            index, source.name, epoch, window, *self._decide(index, self._rules(source)), seed=self.seed
        )

    def _rules(self, source: Source) -> Decisions:
        return self.decisions if source.decisions is None else source.decisions

    def _decide(self, index: int, rules: Decisions) -> tuple[str | None, bool, bool]:
        mode = choose(rules.modes, self.seed, index, "task") if rules.modes else None
        drop_text = (
            rules.drop_text.get(mode or "", 0.0) if isinstance(rules.drop_text, Mapping) else rules.drop_text
        )
        happens = lambda what, probability: uniform(self.seed, index, what) < probability  # noqa: E731
        return (
            mode,
            happens("text", drop_text),
            happens("mirror", rules.mirror),
        )

    def first_frame_only(self, draw: Draw) -> bool:
        """Whether only the first frame of a draw's videos is decoded."""
        return draw.mode in self._rules(self._source(draw)).first_frame_modes

    def _source(self, draw: Draw) -> Source:
        return next(source for source in self.sources if source.name == draw.source)

    def sample(self, draw: Draw, size: tuple[int, int] | None = None) -> Sample:
        """A draw's sample: uint8 video fitted to `size`, mirrored if so drawn; a dropped text is None."""
        source = self._source(draw)
        episode = source.episode(self._places[draw.source][draw.window.episode_id])
        whole = cut(episode, draw.window, size, first_frame_only=self.first_frame_only(draw))
        whole = mirrored(whole) if draw.mirror else whole
        instruction = None if draw.drop_text else whole.instruction
        return Sample(whole.video, whole.cameras, whole.trajectory, whole.valid, instruction)


def shares(ratios: Sequence[float]) -> list[int]:
    """Whole numbers in these ratios, at least one each, divided by their common divisor."""
    total = sum(ratios)
    parts = [max(1, round(ratio / total * SLOTS)) for ratio in ratios]
    divisor = gcd(*parts)
    return [part // divisor for part in parts]


def fingerprint(mixture: Mixture, num_draws: int = 1000) -> int:
    """A number that depends on the order of the first draws; checkpoints store it to detect other data."""
    return random_bits(
        *[f"{draw.source}:{draw.window}:{draw.mode}" for draw in map(mixture.__getitem__, range(num_draws))]
    )
