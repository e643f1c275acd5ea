"""Pictures from devices: the bounded buffers and the decoder, cameras by URL, posted photos."""
