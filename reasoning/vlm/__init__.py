"""Vision-language models: in process through transformers, or behind OpenAI-compatible servers."""
