"""Times of a file's packets that go on where the file's start anew: in joined films, and in recordings that were interrupted; and gaps
between those of its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_DISORDER_S = 0.5  # what falls back by less is out of order, and no new beginning
_BESIDE_S = 5.0  # streams that were heard of within so many seconds are expected to begin anew together
_MOST_WAITING = 500  # packets, until they do
_MOST_LEAPING = 50  # packets of one stream with times far ahead, that may be damage
# Of the step from picture to picture at a constant rate.
_UNEVEN = 0.1  # so much more or less is a clock's rounding
_GAP = 5  # so many are no single pictures that a camera has left out
_SELDOM = 25  # so many even steps for each gap, at least
_MOST_ODD = 0.002  # of the steps, at a constant rate, beside one for each gap


@dataclass
class _Track:
    """One stream. shift: what is added to its times now. last: the time of decoding in the file of its newest packet. out: the same in
    the result, in ticks. ends: where all that came ends, by times of decoding and of showing, in the result. All in seconds but out."""

    shift: float = 0.0
    last: float | None = None
    out: int | None = None
    ends: tuple[float, float] = (float("-inf"), float("-inf"))
    timed: bool = True  # picture or sound

    def falls_back(self, time: float) -> bool:
        """Whether a time in the file is before the newest one by more than disorder explains."""
        return self.last is not None and time < self.last - _DISORDER_S


class Timeline:
    """Of one file, read once from some place on. Where times fall back, the same is added to those of all streams that follow: what
    comes anew begins when all that came before has ended, and its streams stay in step.

    restarts: how often that was, so far. moved: packets that came a little out of order, of other streams than ``main``, and now follow
    the one before them.
    """

    def __init__(self, main: int) -> None:
        self._main = main
        self.restarts = self.moved = 0
        self._tracks: dict[int, _Track] = {}
        self._shift = 0.0  # since the newest beginning; tracks that have not come to it have another one
        self._now = 0.0  # in the result
        self._waiting: list[Any] = []  # packets after a beginning of which not all streams were seen
        self._begun: set[int] = set()  # those that were

    def straighten(self, packets: Iterable[Any]) -> Iterator[Any]:
        """The packets, with their times set. Those of different streams may change places."""
        for packet in self._without_leaps(packets):
            if packet.dts is None:
                yield from (*self._settle(), self._placed(packet))
                continue
            index, timed = packet.stream.index, packet.stream.type in ("video", "audio")
            track = self._tracks.setdefault(index, _Track(timed=timed))
            time = float(packet.dts * packet.time_base)
            current = index in self._begun if self._waiting else track.shift == self._shift
            if timed and current and track.falls_back(time):
                yield from self._settle()
                self._now, self._shift = track.ends[0], track.ends[0] - time
                self.restarts += 1
                self._begun, self._waiting = {index}, [packet]
            elif not self._waiting:
                yield self._placed(packet)
            elif not timed or index in self._begun or track.falls_back(time) or self._is_nearer(time, track):
                self._waiting.append(packet)
                self._begun |= {index} if timed else set()
            else:
                yield self._placed(packet, begun=False)
            if timed:
                track.last = time
            if self._waiting and (self._all_begun() or len(self._waiting) > _MOST_WAITING):
                yield from self._settle()
        yield from self._settle()

    def _without_leaps(self, packets: Iterable[Any]) -> Iterator[Any]:
        """The packets. Times far ahead, behind which those of the stream go on where they were, are damage and no new beginning: such
        packets wait for what follows in their stream, and come right behind the one before them if they were wrong."""
        before: dict[int, int] = {}  # dts of each stream's newest packet that does not wait, in ticks
        leaping: dict[int, list[Any]] = {}
        for packet in packets:
            if packet.dts is None or packet.stream.type not in ("video", "audio"):
                yield packet
                continue
            index, far = packet.stream.index, _BESIDE_S / packet.time_base
            waiting = leaping.pop(index, [])
            if waiting and abs(packet.dts - before[index]) < far:
                behind = before[index] + 1 - waiting[0].dts
                for wrong in waiting:
                    wrong.dts, wrong.pts = wrong.dts + behind, None if wrong.pts is None else wrong.pts + behind
                    self.moved += index != self._main
            elif waiting and 0 <= packet.dts - waiting[-1].dts < far and len(waiting) < _MOST_LEAPING:
                leaping[index] = [*waiting, packet]
                continue
            yield from waiting
            if waiting:
                before[index] = waiting[-1].dts
            if index in before and packet.dts - before[index] > far:
                leaping[index] = [packet]
                continue
            before[index] = packet.dts
            yield packet
        for waiting in leaping.values():
            yield from waiting

    def _is_nearer(self, time: float, track: _Track) -> bool:
        """Whether a time in the file belongs to the newest beginning, rather than to what the track had before."""
        return abs(time + self._shift - self._now) < abs(time + track.shift - self._now)

    def _all_begun(self) -> bool:
        expected = ((index, track) for index, track in self._tracks.items() if track.timed)
        return all(index in self._begun or track.ends[0] < self._now - _BESIDE_S for index, track in expected)

    def _settle(self) -> Iterator[Any]:
        """What waits, behind the end of what came before in each stream."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        shifts = []
        for index in self._begun:
            ends, mine = self._tracks[index].ends, [packet for packet in waiting if packet.stream.index == index]
            shown = [float(packet.pts * packet.time_base) for packet in mine if packet.pts is not None]
            shifts += [ends[0] - float(mine[0].dts * mine[0].time_base), *([ends[1] - min(shown)] if shown else [])]
        self._shift = max(shifts)
        for index in self._begun:
            self._tracks[index].shift = self._shift
        for packet in waiting:
            yield self._placed(packet)

    def _placed(self, packet: Any, *, begun: bool = True) -> Any:
        track = self._tracks.setdefault(packet.stream.index, _Track())
        clock = packet.time_base
        if packet.dts is None:
            if packet.pts is not None:
                packet.pts += round(track.shift / clock)
            return packet
        if begun and track.shift != self._shift and self._is_nearer(float(packet.dts * clock), track):
            track.shift = self._shift
        ticks = round(track.shift / clock)
        packet.dts += ticks
        if packet.pts is not None:
            packet.pts += ticks
        if track.out is not None and packet.dts < track.out and packet.stream.index != self._main:
            packet.dts, self.moved = track.out + 1, self.moved + 1
            packet.pts = None if packet.pts is None else max(packet.pts, packet.dts)
        lasting = packet.duration or (max(0, packet.dts - track.out) if track.out is not None else 0)
        track.out = packet.dts
        shown = packet.dts if packet.pts is None else packet.pts
        track.ends = float((packet.dts + lasting) * clock), max(track.ends[1], float((shown + lasting) * clock))
        if packet.stream.type in ("video", "audio"):
            self._now = track.ends[0]
        return packet


class Gaps:
    """Where a film of a constant rate has no pictures for long: demuxers of Matroska and others pass over damage without a word.

    first: the end of the first one's last picture, in ticks; None before there is one.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self._even = self._odd = self._gaps = 0  # steps from picture to picture
        self._span = 0  # of all even ones, in ticks
        self._missing = 0.0
        self._before: tuple[int, int] | None = None

    def see(self, time: int, lasting: int) -> None:
        """The next picture: when it comes and how long it lasts, 0 where that is not known, in ticks."""
        before, self._before = self._before, (time, lasting)
        if before is None:
            return
        step = time - before[0]
        usual = self._span / self._even if self._even else step
        if abs(step - usual) <= max(1, _UNEVEN * usual):
            self._even, self._span = self._even + 1, self._span + step
        elif step > _GAP * usual and before[1] < _GAP * usual:  # else the picture before is meant to be seen for so long
            self._gaps, self._missing = self._gaps + 1, self._missing + step / usual - 1
            self.first = before[0] + round(usual) if self.first is None else self.first
        else:
            self._odd += 1

    @property
    def missing(self) -> int:
        """How many pictures would fill the gaps; 0 where the rate is not constant, or gaps are too many to be damage."""
        constant = self._odd <= _MOST_ODD * self._even + self._gaps and self._gaps * _SELDOM <= self._even
        return round(self._missing) if constant else 0
