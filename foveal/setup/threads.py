"""How many threads a product of torch may use while other stages work beside it."""

import os


def share_cores() -> int:
    """Give torch half of the cores, unless OMP_NUM_THREADS says how many; returns the number.

    Frames are decoded and looked at while others are tracked. With all cores for each, their
    threads wait for one another: on two cores a replay is 6 % slower (docs/benchmarks.md).
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    return torch.get_num_threads()
