"""How the rules answer, by what an answer is made of."""
