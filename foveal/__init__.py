"""Composition root: configuration to objects, command line, reports."""

from foveal.setup.footprint import spare_triton

spare_triton()  # before anything imports torch's compiler
