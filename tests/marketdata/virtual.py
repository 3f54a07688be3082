"""A clock for threads: it stands still while one of them works and jumps to the next deadline once all of them wait."""

import threading
from collections.abc import Callable

from django.db import connections


class VirtualTime:
    """Seconds. Only threads started by `run` may wait."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self._turn = threading.Condition()
        self._busy = 0
        self._deadlines: dict[int, float] = {}

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        me = threading.get_ident()
        with self._turn:
            self._deadlines[me] = self.now + max(seconds, 1e-6)  # later than now in floats too
            self._leave()
            self._turn.wait_for(lambda: self._deadlines[me] <= self.now)
            del self._deadlines[me]

    def run(self, *works: Callable[[], None]) -> None:
        """Until all have ended; the first error of one is raised."""
        errors: list[BaseException] = []

        def work(job: Callable[[], None]) -> None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)
            finally:
                connections.close_all()
                with self._turn:
                    self._leave()

        self._busy = len(works)
        threads = [threading.Thread(target=work, args=(job,), daemon=True) for job in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), "a thread waits for ever"
        if errors:
            raise errors[0]

    def _leave(self) -> None:
        """One fewer works; who is woken works again."""
        self._busy -= 1
        if self._busy == 0 and self._deadlines:
            self.now = max(self.now, min(self._deadlines.values()))
            self._busy = sum(deadline <= self.now for deadline in self._deadlines.values())
            self._turn.notify_all()
