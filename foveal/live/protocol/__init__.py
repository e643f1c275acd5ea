"""The live protocol: its messages as types, and how they are written and read.

docs/protocol.schema.json and the tables of docs/protocol.md are made from the types
(`python -m foveal.live.protocol.json_schema`).
"""
