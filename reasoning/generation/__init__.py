"""The search-token decode loop: protocol, tokens, grammar, decoding and the conversation."""
