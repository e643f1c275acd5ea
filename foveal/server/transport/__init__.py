"""How messages travel: data channel and WebSocket."""
