"""Rewrites of a graph that save passes over memory: what follows a convolution goes into it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from perception.detect.graph_node import Node

ACTIVATIONS = ("Relu", "Relu6", "HardSwish")
CLOSE = 1e-3  # constants stored as float16 are that near


def fuse(
    nodes: Sequence[Node], weights: Mapping[str, torch.Tensor], outputs: Sequence[str]
) -> list[Node]:
    """The same graph with fewer nodes; `nodes` and the result are in order of execution."""
    named = {node.name: node for node in nodes}
    for node in nodes:
        source = _hard_swish(node, named, weights)
        if source is not None:
            named[node.name] = Node(node.name, "HardSwish", (source,), {})
    named = _used(named, outputs)
    for node in list(named.values()):
        if node.name in named and node.op in ACTIVATIONS:
            _into_convolution(node, named, outputs)
    return list(named.values())


def _used(named: dict[str, Node], outputs: Sequence[str]) -> dict[str, Node]:
    """Without the nodes that nobody reads any more, still in order."""
    read = set(outputs)
    kept: list[Node] = []
    for node in reversed(named.values()):
        if read & {node.name, *(f"{node.name}:{n}" for n in (1, 2))}:
            kept.append(node)
            read |= {*node.inputs, *(name.split(":")[0] for name in node.inputs)}
    return {node.name: node for node in reversed(kept)}


def _into_convolution(node: Node, named: dict[str, Node], outputs: Sequence[str]) -> None:
    """Let the convolution before an activation do it, where nobody else reads its result."""
    before = named.get(node.inputs[0])
    readers = Counter(name for each in named.values() for name in each.inputs)
    if before is None or readers[before.name] > 1 or before.name in outputs:
        return
    done = before.get("fused_ops", [])
    if "Conv" not in before.op or any(name != "BiasAdd" for name in done):
        return
    # The convolution takes the activation's place and name: all it reads lies before both.
    together = {**before.attributes, "fused_ops": [*done, node.op]}
    named[node.name] = replace(before, name=node.name, attributes=together)
    del named[before.name]


def _hard_swish(
    node: Node, named: Mapping[str, Node], weights: Mapping[str, torch.Tensor]
) -> str | None:
    """x of `(x / 6) * relu6(x + 3)`, where a node is that product; None for another one."""
    if node.op != "Mul":
        return None
    for one, other in (node.inputs, node.inputs[::-1]):
        scaled, clipped = named.get(one), named.get(other)
        if scaled is None or clipped is None or scaled.op != "Mul" or clipped.op != "Relu6":
            continue
        shifted = named.get(clipped.inputs[0])
        if shifted is None or shifted.op not in ("Add", "AddV2"):
            continue
        source, other_source = _beside(scaled, 1 / 6, weights), _beside(shifted, 3.0, weights)
        if source is not None and source == other_source:
            return source
    return None


def _beside(node: Node, constant: float, weights: Mapping[str, torch.Tensor]) -> str | None:
    """The other input of a node that has this number as one."""
    for one, other in (node.inputs, node.inputs[::-1]):
        value = weights.get(one)
        if value is not None and value.numel() == 1 and abs(float(value) - constant) < CLOSE:
            return other
    return None
