"""A live session: frames in, answers and speech out, who may start one and what it is lent."""
