"""A model's answers to recorded windows in each mode, beside a floor, a ceiling and a tracker."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor
from typing_extensions import Self

from action_images.canvas import MODES
from action_images.device import to_cpu
from action_images.episodes.dataset import Dataset
from action_images.errors import ActionImagesError
from action_images.evaluation import video_metrics
from action_images.evaluation.clip_modes import (
    Answer,
    Answerer,
    Extra,
    judge,
    kept,
    still,
    tracked,
)
from action_images.evaluation.clip_table import FigureRow, rows, set_row
from action_images.geometry import Trajectory
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.confidence import known_path
from action_images.inference.pacing import paced, recording
from action_images.samples.sample import Sample, collate

PLAIN = ("policy", "joint", "second_view")
"""Modes that are evaluated with the true instruction alone."""
SHOWN_THE_ANSWER = ("label", "label_from_nothing", "simulate")
"""Modes whose answer is determined by the images they are shown, whatever the text says."""
JUDGED_MODES = PLAIN + SHOWN_THE_ANSWER
WITHOUT_VIDEO = ("label", "label_from_nothing")
"""Modes that are shown the whole video, so that none of it is their answer."""


@dataclass(frozen=True)
class JudgedWindow:
    """A recorded window of one clip, and another window's text if that is different."""

    window: Sample
    contradiction: str | None = None


def judged_windows(
    source: Dataset, generator: ClipGenerator, views: Sequence[str], number: int
) -> list[JudgedWindow]:
    """Windows of one clip of these views, evenly over the data set, each with another window's text.

    Raises ActionImagesError if no episode is as long as a clip, or one has no tool poses to compare with.
    """
    if number < 1:
        raise ActionImagesError(f"judge at least one window, not {number}")
    places = _places(source, generator)
    if not places:
        clips = generator.clips
        raise ActionImagesError(
            f"{source.path}: no episode is as long as a clip of the model "
            f"({clips.num_frames} frames at {clips.fps:g}/s)"
        )
    number = min(number, len(places))
    windows = []
    for turn in range(number):
        index, frames = places[turn * len(places) // number]
        episode = source[index]
        if episode.trajectory is None:
            raise ActionImagesError(
                f"{episode.id}: has no tool poses, so nothing can be compared with them; "
                "judge on a data set that has"
            )
        windows.append(recording(episode, tuple(views), frames, generator.clips.size))
    texts = [_text(window) for window in windows]
    return [JudgedWindow(window, _contradiction(texts, place)) for place, window in enumerate(windows)]


def _places(source: Dataset, generator: ClipGenerator) -> list[tuple[int, list[int]]]:
    """Every clip of the data set: its episode and its frames. Neighbouring clips share one frame."""
    length, places = generator.clips.num_frames, []
    for index in range(len(source)):
        frames = paced(source.length(index), source.fps, generator.clips.fps)
        starts = range(0, len(frames) - length + 1, length - 1)
        places += [(index, frames[start : start + length]) for start in starts]
    return places


def _text(window: Sample) -> str | None:
    assert window.instruction is None or isinstance(window.instruction, str)
    return window.instruction


def _contradiction(texts: Sequence[str | None], place: int) -> str | None:
    """The next window's text that is different; None if there is none."""
    following = [*texts[place:], *texts[:place]]
    return next((text for text in following if text not in (None, texts[place])), None)


@dataclass(frozen=True)
class ModeAnswers:
    """A model's answers to recorded windows; `seed` fixes all noise."""

    generator: ClipGenerator
    seed: int = 0
    plans: bool = True
    """Whether the model plans. If so, labels under a contradictory text are compared with its plan for that
    text."""
    _plans: dict[tuple[int, str | None], Trajectory] = field(default_factory=dict)

    def answer(self, window: Sample, mode: str, text: str | None) -> Answer:
        """A mode's answer to a window under an instruction (None: without one)."""
        video, path = self._generate(window, mode, text)
        return Answer(_new_video(video, mode), None if mode == "simulate" else path)

    def label_against(self, judged: JudgedWindow, mode: str) -> Answer:
        """A mode's answer to a window under another window's text, and the model's plan for that text."""
        answer = self.answer(judged.window, mode, judged.contradiction)
        if answer.trajectory is None or not self.plans:
            return answer
        return replace(answer, told=self._plan(judged.window, judged.contradiction))

    def codec(self, window: Sample) -> Answer:
        """The ceiling: the recording itself, through the autoencoder and the reader, and not painted."""
        pipeline = self.generator.pipeline
        pipeline = replace(pipeline, models=replace(pipeline.models, painter=None))
        assert window.cameras is not None
        recorded = collate([window])
        canvas, condition = pipeline.encode(recorded, MODES["joint"], self.generator.clips.num_frames)
        shown = pipeline.decode(canvas, condition, window.cameras[None])
        shown = to_cpu(shown, "clip")
        assert shown.video is not None
        return Answer(shown.video[0], known_path(shown)[0])

    def _generate(
        self, window: Sample, mode: str, text: str | None
    ) -> tuple[Tensor | None, Trajectory | None]:
        """Video (view frame 3 h w) in [0, 1] and path (frame).

        Each is None if the mode makes none, or it cannot be read.
        """
        scene = replace(window, instruction=text)
        prediction = self.generator.generate(collate([scene]), mode, [self.seed])
        video = None if prediction.video is None else prediction.video[0]
        return video, None if prediction.reading is None else known_path(prediction)[0]

    def _plan(self, window: Sample, text: str | None) -> Trajectory:
        key = (id(window), text)
        if key not in self._plans:
            _, path = self._generate(window, "policy", text)
            assert path is not None
            self._plans[key] = path
        return self._plans[key]


def answerers(
    generator: ClipGenerator, windows: Sequence[JudgedWindow], modes: Sequence[str], seed: int = 0
) -> Mapping[str, Answerer]:
    """Name -> the function that answers one of these windows: floor, ceiling, tracker and modes."""
    answers = ModeAnswers(generator, seed, plans="policy" in modes)
    by_window = {id(one.window): one for one in windows}
    contradicts = all(one.contradiction is not None for one in windows)
    asked: dict[str, Answerer] = {
        "codec": answers.codec,
        "still": still,
        "lucas-kanade": tracked,
    }
    for mode in PLAIN:
        if mode in modes:
            asked[mode] = partial(_true, answers, mode)
    for mode in SHOWN_THE_ANSWER:
        if mode not in modes:
            continue
        asked[f"{mode}, true text"] = partial(_true, answers, mode)
        asked[f"{mode}, empty text"] = partial(answers.answer, mode=mode, text=None)
        if contradicts:
            asked[f"{mode}, contradictory text"] = partial(_contradictory, answers, by_window, mode)
    return asked


def _true(answers: ModeAnswers, mode: str, window: Sample) -> Answer:
    return answers.answer(window, mode, _text(window))


def _contradictory(
    answers: ModeAnswers, by_window: Mapping[int, JudgedWindow], mode: str, window: Sample
) -> Answer:
    return answers.label_against(by_window[id(window)], mode)


def _new_video(video: Tensor | None, mode: str) -> Tensor | None:
    """The video (view frame 3 h w) that the mode made itself; NaN for views that it was shown whole."""
    if video is None or MODES[mode].video_frames is not None or mode in WITHOUT_VIDEO:
        return None
    if mode != "second_view":
        return video
    return torch.cat([torch.full_like(video[:1], torch.nan), video[1:]])


@dataclass(frozen=True)
class FurtherMeasures:
    """Measures besides the usual figures of a mode, and the frames that have figures of their own."""

    horizons: tuple[int, ...]
    images: Mapping[str, Extra]
    distance: Callable[[Tensor, Tensor], float] | None = None
    """FVD, a distance of two sets of videos."""

    @classmethod
    def loaded(cls, num_frames: int, *, lpips: bool, fvd: bool, device: str) -> Self:
        """Measures for clips of `num_frames` frames, with the weights of LPIPS and FVD if they are wanted."""
        images = {"lpips": video_metrics.load_lpips()} if lpips else {}
        distance = video_metrics.load_fvd(num_frames, device) if fvd else None
        return cls((1, num_frames // 2, -1), images, distance)


def figures(
    windows: Iterable[Sample], asked: Mapping[str, Answerer], views: Sequence[str], measures: FurtherMeasures
) -> list[FigureRow]:
    """All figures of the answers to these windows."""
    videos: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in asked}
    if measures.distance is not None:
        asked = {name: kept(answerer, videos[name]) for name, answerer in asked.items()}
    measured = judge(windows, asked, measures.images)
    made: list[FigureRow] = []
    for name, of_mode in measured.items():
        made += rows(name, of_mode, views, measures.horizons)
    for name, pairs in videos.items():
        if measures.distance is not None and pairs:
            made.append(set_row(name, "fvd", measures.distance, pairs))
    return made
