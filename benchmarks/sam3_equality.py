"""SAM 3's tracker here against transformers' session, with the weights of a checkpoint.

    python -m benchmarks.sam3_equality facebook/sam3 --device cuda --json

Five objects, started by masks, a box and a point, over a made-up clip; each step from the same
memories, since those are kept in bfloat16 and a rounding that falls the other way grows. Printed
are the largest relative difference of mask logits, object pointers and memory tokens, and the least
IoU of masks; ends with 1 where one is out of bounds.
"""

import argparse

from benchmarks.report import emit
from benchmarks.sam3_reference import PLAIN, as_the_package, make_frames, relative, side_by_side
from perception.sam3.checkpoint import load_part
from perception.sam3.tracker import load_sam3_tracker
from stream.geometry import mask_iou

LIMITS = {"logits": 1e-3, "pointers": 1e-3, "memory_tokens": 5e-3}
LEAST_IOU = 0.99


def main(given: list[str] | None = None) -> int:
    """0 where all is within bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="a hub id or a folder")
    parser.add_argument("--image-size", type=int, metavar="PX", help="1008 as trained")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    args = parser.parse_args(given)
    size, device = args.image_size, args.device
    tracker = load_sam3_tracker(args.checkpoint, PLAIN, image_size=size, device=device)
    model = as_the_package(load_part(args.checkpoint, "tracker", size).to(device))
    worst, least = dict.fromkeys(LIMITS, 0.0), 1.0
    for index, pairs in side_by_side(tracker, model, make_frames(args.frames)):
        for pair in pairs:
            kept, newest = pair.reference.kept(index), pair.newest
            found = {
                "logits": relative(pair.got.logits, pair.expected),
                "pointers": relative(newest.pointer, kept["object_pointer"].flatten()),
                "memory_tokens": relative(newest.tokens, kept["maskmem_features"][:, 0]),
            }
            worst = {name: max(worst[name], found[name]) for name in worst}
            least = min(least, mask_iou(pair.mask, pair.expected_mask))
            pair.reference.take(index, newest)
    met = least >= LEAST_IOU and all(worst[name] <= LIMITS[name] for name in LIMITS)
    goal = {name: f"<= {limit:g}" for name, limit in LIMITS.items()} | {"iou": f">= {LEAST_IOU}"}
    emit("sam3_equality", {"against transformers": {**worst, "iou": least}}, goal, met)
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
