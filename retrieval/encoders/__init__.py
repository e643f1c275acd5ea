"""Text and pictures to vectors: MiniLM, ConSE, and the visual side of entries."""
