"""Video sessions that an SGLang server keeps: a picture is sent once, questions are asked of it."""
