"""The bars that an int8 network has to pass, relative to the gray input on the same pictures."""

from __future__ import annotations

from dataclasses import dataclass

from convert.cost import Cost
from convert.scores import Figures


@dataclass(frozen=True)
class Bars:
    """What must hold. Ratios are to the gray input's figure; the colourfulness share is of the originals'."""

    frechet_to_gray: float = 0.58
    psnr_gain: float = 0.9  # dB
    ab_to_gray: float = 0.86
    colorfulness_share: tuple[float, float] = (0.70, 1.10)
    agreement_gain: float = 0.0
    float_psnr: float = 0.15  # dB between int8 and its float network
    float_frechet: float = 0.03  # as a share of the float network's
    float_ab: float = 1.0  # CIELAB units, through the runtime at picture size
    to_reference: float = 1.3  # time, beside MobileNetV2-1.0-224 int8
    parameters: int = 4_000_000
    pale_chroma: float = 6.0  # CIELAB units added where there is no colour
    elsewhere: float = 0.7  # the share of each gain that must remain on a second set


# A small network is judged beside the large one of the same evaluation, and must beat gray in each of these (-1: less is better).
SMALL = Bars(to_reference=0.4, parameters=1_000_000)
SMALL_FRECHET, SMALL_AB = 1.35, 1.06  # at most so many times the large one's
_BETTER_THAN_GRAY = {"psnr": 1, "psnr_pooled": 1, "ab_distance": -1, "ciede2000": -1, "auc": 1, "colorfulness_difference": -1,
                     "frechet": -1, "agreement": 1}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """One bar, met or not. data: the data set's name, empty for a cost. row: the model's."""

    data: str
    row: str
    figure: str
    value: float
    bar: str
    passed: bool

    def __str__(self) -> str:
        where = f"{self.row} on {self.data}" if self.data else self.row
        return f"{'PASS' if self.passed else 'FAIL'} {where}: {self.figure} {self.value:.3f} ({self.bar})"


def _at_most(data: str, row: str, figure: str, value: float, bar: float) -> Verdict:
    return Verdict(data, row, figure, value, f"at most {bar:g}", value <= bar)


def _at_least(data: str, row: str, figure: str, value: float, bar: float) -> Verdict:
    return Verdict(data, row, figure, value, f"at least {bar:g}", value >= bar)


def judge_scores(data: str, row: str, figures: Figures, first: bool, bars: Bars = Bars()) -> list[Verdict]:
    """Bars of one int8 row on one data set.

    ``first``: the set that the bars are meant for. On any other one, ``bars.elsewhere`` of each gain that they ask for
    must remain, and the Frechet distance is left out (there are few pictures).
    """
    share = 1.0 if first else bars.elsewhere
    low, high = bars.colorfulness_share[0] * share, bars.colorfulness_share[1]
    colorful = figures["colorfulness_share"]
    verdicts = [_at_most(data, row, "Frechet (Lite0, 256 px) / gray's", figures["frechet_to_gray"], bars.frechet_to_gray)] if first else []
    return [
        *verdicts,
        _at_least(data, row, "PSNR - gray's, dB", figures["psnr_gain"], round(share * bars.psnr_gain, 4)),
        _at_most(data, row, "ab distance / gray's", figures["ab_to_gray"], round(1 - share * (1 - bars.ab_to_gray), 4)),
        Verdict(data, row, "colourfulness / the originals'", colorful, f"{low:.2f} to {high:.2f}", low <= colorful <= high),
        _at_least(data, row, "top-1 agreement - gray's", figures["agreement_gain"], bars.agreement_gain),
    ]


def judge_small(data: str, row: str, figures: Figures, large: Figures, gray: Figures) -> list[Verdict]:
    """Bars of a small int8 row on the set that they are meant for, beside the large int8 row and gray."""
    better = [Verdict(data, row, f"{key} beside gray's {gray[key]:.3f}", figures[key], "better", sign * (figures[key] - gray[key]) > 0)
              for key, sign in _BETTER_THAN_GRAY.items()]
    return [
        _at_most(data, row, "Frechet / the large network's", figures["frechet"] / large["frechet"], SMALL_FRECHET),
        _at_most(data, row, "ab distance / the large network's", figures["ab_distance"] / large["ab_distance"], SMALL_AB),
        *better,
    ]


def judge_quantization(data: str, row: str, int8: Figures, real: Figures, ab_difference: float, bars: Bars = Bars()) -> list[Verdict]:
    """Bars of an int8 row beside its float network, on one data set."""
    change = abs(int8["frechet"] / max(real["frechet"], 1e-9) - 1)
    return [
        _at_most(data, row, "|PSNR - float's|, dB", abs(int8["psnr"] - real["psnr"]), bars.float_psnr),
        _at_most(data, row, "|Frechet (Lite0, 256 px) / float's - 1|", change, bars.float_frechet),
        _at_most(data, row, "mean |ab difference| from float", ab_difference, bars.float_ab),
    ]


def judge_cost(row: str, cost: Cost, bars: Bars = Bars()) -> list[Verdict]:
    """Bars of one int8 model's cost; time only where the reference was measured."""
    verdicts = [_at_most("", row, "parameters, millions", cost.parameters / 1e6, bars.parameters / 1e6)]
    if cost.to_reference is not None:
        verdicts.append(_at_most("", row, "time / MobileNetV2-1.0-224 int8", cost.to_reference, bars.to_reference))
    return verdicts


def judge_pale(data: str, row: str, chroma_added: float, bars: Bars = Bars()) -> Verdict:
    """No colour where there is none. The bar is one to stay below."""
    return Verdict(data, row, "mean chroma added", chroma_added, f"below {bars.pale_chroma:g}", chroma_added < bars.pale_chroma)
