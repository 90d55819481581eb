"""Lines on the terminal while it runs, each with the time that is probably left."""

import time


class Progress:
    def __init__(self, expected_seconds: float) -> None:
        self._expected = expected_seconds
        self._planned_so_far = 0.0
        self._started = time.monotonic()

    def spent(self, planned_seconds: float) -> None:
        """A piece of work is done that was planned to take so long."""
        self._planned_so_far += planned_seconds

    def left(self) -> float:
        """The plan, corrected by how well it has held so far."""
        elapsed = time.monotonic() - self._started
        to_do = max(0.0, self._expected - self._planned_so_far)
        pace = elapsed / self._planned_so_far if self._planned_so_far > 30 else 1.0
        return to_do * min(max(pace, 0.5), 3.0)

    def say(self, text: str) -> None:
        minutes, seconds = divmod(round(self.left()), 60)
        print(f"[{minutes:3d}:{seconds:02d} left] {text}", flush=True)
