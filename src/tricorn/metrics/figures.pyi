from collections.abc import Mapping, Sequence
from typing import Final

PLACES: Final[Mapping[str, int]]
GROUP_PLACES: Final[Mapping[str, int]]
COMMON_WORDS: Final[int]
GROUP_WORDS: Final[int]
HISTOGRAM_WORDS: Final[int]
GROUPS_MAX: Final[int]
EXEMPLIFIED_PLACES: Final[tuple[int, ...]]
EXEMPLAR_COUNT: Final[int]
BUCKET_COUNT: Final[int]
BOUNDS: Final[tuple[float, ...]]

def observed(*durations_ns: int) -> Sequence[int]: ...
def classes(method: str, status: str | None) -> tuple[int, int]: ...
