"""The baseline without a vision-language model: English rules over perception."""
