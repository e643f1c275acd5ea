"""Settings of re-identification: plain values without torch, so that they are read quickly."""

from dataclasses import dataclass

from stream.bounds import Share
from stream.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ReidConfig:
    """When something is the object that was followed, and when that is sought.

    Likenesses are cosines, read on a scale from how like the object other things are (0) to how
    like it is itself (1). The defaults are for the shared backbone's last features: on the demo
    clip one thing at another size or place has 0.73 or more, different things 0.28 or less, and
    0.60 where one thing's mask holds much of the other (a man behind his tripod). Raises
    ConfigError for counts below 1.
    """

    same: Share = 0.68  # likeness from which something is the object
    other: Share = 0.45  # below it, it surely is not
    margin: Share = 0.0  # by how much it is more like it than the next best place
    clarity: Share = 0.0  # how clearly a place stands out from what is around it
    plain: Share = 0.0  # cosine that anything may have, however plain the pictures so far were
    least_gap: Share = 0.0  # of the scale's ends: below it, the object has no look of its own
    max_descriptors: int = 1  # kept of each object, the first one among them
    describe_every: int = 1  # frames between descriptions of an object in view
    min_quality: Share = 0.0  # predicted mask IoU of a frame that is described
    patience: int = 1  # frames out of view before an object is sought
    seek_every: int = 1  # frames between searches for it

    def __post_init__(self) -> None:
        if min(self.max_descriptors, self.describe_every, self.patience, self.seek_every) < 1:
            raise ConfigError(
                "expected max_descriptors, describe_every, patience and seek_every of 1 or more, "
                f"got {self.max_descriptors}, {self.describe_every}, {self.patience} and "
                f"{self.seek_every}"
            )
