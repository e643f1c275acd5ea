"""The demo clip: photographs seen by a rendered head camera, with known masks."""
