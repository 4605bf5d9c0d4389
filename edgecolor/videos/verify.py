"""The proof that luma is untouched: both files are decoded, and compared picture by picture."""

from __future__ import annotations

from contextlib import closing
from itertools import zip_longest
from pathlib import Path

import numpy as np

from edgecolor.errors import VideoError
from edgecolor.videos.forms import form_of, luma_of
from edgecolor.videos.reading import Reader


def verify_luma(source: Path, result: Path) -> int:
    """How many pictures were compared. Raises VideoError when luma, time or number of any of them differ.

    Times are compared relative to the first picture, within half a tick of the coarser clock.
    """
    before, after = Reader(source), Reader(result)
    count = 0
    with closing(before), closing(after):
        tolerance = max(before.time_base, after.time_base)
        origins = None
        for old, new in zip_longest(before.pictures(), after.pictures()):
            if old is None or new is None:
                raise VideoError(f"{source}: the result has {'more' if old is None else 'fewer'} frames than the source; it is not kept")
            times = old.pts * before.time_base, new.pts * after.time_base
            origins = origins or times
            if abs((times[0] - origins[0]) - (times[1] - origins[1])) > tolerance:
                raise VideoError(f"{source}: frame {count} of the result comes at another time; it is not kept")
            forms = form_of(old.format.name), form_of(new.format.name)
            assert forms[0] is not None and forms[1] is not None
            luma = luma_of(old).astype(np.uint16) << np.uint16(forms[1].depth - forms[0].depth)
            if not np.array_equal(luma, luma_of(new)):
                raise VideoError(f"{source}: luma of frame {count} of the result differs; it is not kept")
            count += 1
    return count
