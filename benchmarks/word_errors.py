"""How many words of a sentence were heard wrongly."""

from devices.listening.wording import words


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Edits (substitutions, insertions, deletions) from `said` to `heard`, and the words said."""
    wanted, got = words(said), words(heard)
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            edit = min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
            diagonal, row[j] = row[j], edit
    return row[-1], len(wanted)
