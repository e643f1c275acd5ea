"""Which frames to leave out when the work does not keep up, so that what is shown stays recent."""

from dataclasses import dataclass, replace

from stream.clock import NS_PER_MS
from stream.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SkipPolicy:
    """Late frames are left out, but never many in a row and never one that is needed."""

    max_late_ns: int = 100 * NS_PER_MS  # a frame later than this is left out
    max_run: int = 15  # frames left out in a row; the next is taken however late

    def __post_init__(self) -> None:
        if self.max_late_ns < 0 or self.max_run < 1:
            raise ConfigError(
                f"expected max_late_ns of 0 or more and max_run of 1 or more, "
                f"got {self.max_late_ns} and {self.max_run}"
            )


@dataclass(frozen=True, slots=True)
class SkipState:
    """What was left out so far, by cause, and what was taken though late."""

    run: int = 0  # left out since the last taken one
    taken: int = 0
    late: int = 0  # left out: later than the policy allows
    kept_needed: int = 0  # late, taken because it was needed (a prompt waits for it)
    kept_run: int = 0  # late, taken because too many in a row were left out

    def counts(self) -> dict[str, int]:
        """Plain numbers, for a summary."""
        return {"late": self.late, "kept_needed": self.kept_needed, "kept_run": self.kept_run}


def decide(
    policy: SkipPolicy, state: SkipState, late_ns: int, needed: bool
) -> tuple[SkipState, bool]:
    """Whether to take a frame that is `late_ns` behind its time; `needed` frames always are."""
    late = late_ns > policy.max_late_ns
    if late and not needed and state.run < policy.max_run:
        return replace(state, run=state.run + 1, late=state.late + 1), False
    kept_needed = state.kept_needed + (late and needed)
    kept_run = state.kept_run + (late and not needed)
    taken = state.taken + 1
    return replace(state, run=0, taken=taken, kept_needed=kept_needed, kept_run=kept_run), True
