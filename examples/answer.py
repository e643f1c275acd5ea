"""Replay a recording with questions; print what is said and what it speaks of.

python examples/answer.py CLIP "3.0: What is that tower?" "8.5: Who designed it?"
"""

import sys

from foveal import AnswerResult, Question, open_profile

clip, *asked = sys.argv[1:]
questions = []
for text in asked:
    seconds, _, words = text.partition(": ")
    questions.append(Question(words, asked_ns=round(float(seconds) * 1e9)))

for result in open_profile("embedded").run(clip, questions):
    if isinstance(result, AnswerResult):
        boxes = [region.box for region in result.regions]
        print(f"{result.answer.question.text} -> {result.answer.text} {boxes}")
