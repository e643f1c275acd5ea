"""Vision-language models of transformers in this process, under the project's own decode loop."""
