"""Which tracker keeps masklets alive: its name and settings -> a tracker."""

from typing import TYPE_CHECKING

from foveal.assets.hub import pinned
from foveal.config.models import EMBEDDED, MaskletSettings
from foveal.session.mask_tracker import MaskTracker
from perception.device import CPU, Device, resolve_device
from perception.tracking.settings import TrackerConfig
from perception.tracking.tracker import EmbeddedTracker
from stream import extensions
from stream.errors import AssetError, ConfigError

if TYPE_CHECKING:
    from perception.features.backbone import Backbone
    from perception.sam2_tracking.tracker import Sam2Tracker
    from perception.tracking.renewal import Renewer


def open_tracker(
    settings: MaskletSettings, embedded: TrackerConfig, backbone: "Backbone", max_tracks: int
) -> MaskTracker:
    """The tracker that the settings name; the embedded one shares the backbone.

    Raises AssetError, with what to do, when weights are out of reach.
    """
    if settings.tracker == EMBEDDED:
        return EmbeddedTracker(backbone, embedded, renewer=load_renewer(backbone.device))
    added = extensions.named("trackers", settings.tracker)
    if added:
        tracker: MaskTracker = extensions.load("trackers", added[0])(added[1], backbone, max_tracks)
        return tracker
    return open_sam2(settings, max_tracks)


def load_renewer(device: Device = CPU) -> "Renewer | None":
    """The small SAM that cuts masks anew; None where it was not pulled."""
    from foveal.setup.cutters import load_cutter
    from perception.masks.small_sam import SmallSam
    from perception.tracking.renewal import Renewer

    cutter = load_cutter(device)
    return Renewer(cutter) if isinstance(cutter, SmallSam) else None


def open_sam2(settings: MaskletSettings, max_tracks: int) -> "Sam2Tracker":
    """A SAM 2, EdgeTAM or SAM 3 tracker; a frame of another shape goes on, as sessions need it."""
    from perception.sam2_tracking.open import best_precision, load_sam2_tracker
    from perception.sam2_tracking.state import Sam2Config
    from perception.sam3.tracker import load_sam3_tracker

    kind, _, name = settings.tracker.partition(":")
    device = resolve_device(settings.device).name
    precision = settings.precision
    if precision == "auto":
        precision = "mixed" if kind == "sam3" and device == "cuda" else best_precision(device)
    config = Sam2Config(
        max_tracks=max(1, max_tracks),
        policy=settings.policy,
        reidentify=settings.reidentify,
        any_shape=True,
        compile=settings.compile,
        fill_hole_area=settings.fill_hole_area,
        clip_frames=settings.clip_frames,
        resize=settings.resize,
    )
    load = load_sam3_tracker if kind == "sam3" else load_sam2_tracker
    try:
        tracker = load(
            pinned(name),
            config,
            image_size=settings.image_size,
            precision=precision,
            device=device,
        )
    except AssetError as error:
        raise AssetError(_advice(settings.tracker, name, error)) from error
    right = tracker.networks.kind
    if right != kind:
        raise ConfigError(f"expected a model of the kind {kind} at {name}; write {right}:{name}")
    return tracker


def _advice(tracker: str, name: str, error: AssetError) -> str:
    kind = tracker.partition(":")[0]
    told = f"{error}. "  # of SAM 3, which is gated, it says what to do
    if kind != "sam3":
        told = (
            f"the weights of {tracker} are out of reach ({error}). Where the hub can be reached, "
            f"`hf download {name} --local-dir DIR`, then name the folder: {kind}:DIR. "
        )
    return told + (
        "Without weights, the tracker embedded needs none "
        "(masklets: tracker: embedded, or --tracker embedded)"
    )
