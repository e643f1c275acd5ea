"""Decoding: what a kept cache saves over re-encoding, and how soon an answer begins.

    python -m benchmarks.decode [--json] [--quick] [--data questions.yaml] [--intents]

All write the same tokens with the same weights: a prompt, then twice a piece of injected evidence,
each followed by tokens of the model's own (greedy, never ending). `foveal` reads the evidence on
top of its cache; `transformers` is `generate`, called again after each injection with the cache
that it filled; `transformers-no-cache` calls it with the whole sequence alone. `ttft_ms` is from
the prompt to the first token, `resume_ms` from injected evidence to the next own token; the methods
take turns, and the figures are medians. `foveal-answers` asks whole questions of a photograph that
was read before: `ttft_ms` to the first token of the sequence, `first_word_ms` to the first one that
the wearer hears, `search_ms` of the answers that searched. `--intents` adds the intent classifier's
leave-one-out accuracy. `--trained` measures the trained segmenting model alone
(benchmarks/decode_trained.py): on a view that was read ahead, cold, and by plain `generate`, with
the peak memory of it all.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, GenerationConfig
from transformers.generation.streamers import BaseStreamer

from benchmarks.decode_trained import measure_trained
from benchmarks.grading import share
from benchmarks.kv_cache import LmState, chat_prompt, choose, extend
from benchmarks.questions import DATA, Asked, read_questions, read_views
from benchmarks.report import emit
from foveal.assets.registry import asset_path
from foveal.setup.assistant import LANGUAGE_MODEL, Models, build_assistant, load_models
from foveal.setup.footprint import peak_memory_mb
from perception.scene.reader import SceneView
from reasoning.generation.conversation import Assistant
from reasoning.generation.evidence_text import format_evidence
from reasoning.generation.tokens import END_INFORMATION, INFORMATION, SEARCH
from reasoning.rules.intents import fit, read_examples
from reasoning.vlm.causal_lm import CausalLm, cache_name
from retrieval.search import Searcher
from stream.clock import NS_PER_MS
from stream.events import AnswerEvent, Query, Question

GOAL_TTFT_MS = 300.0
GOAL_MB = 1536.0
TURN_TOKENS = 24  # of the model's own, before and after each injection
INJECTIONS = 2
ROUNDS, QUICK_ROUNDS = 7, 2
QUICK_STEP = 4  # every fourth question
SYSTEM = "You are the voice of smart glasses. Answer in one or two sentences."
SIGHT = (
    "In view: a cup of espresso on a red saucer in the middle, a spoon on the right, a wooden "
    "table below. {question}"
)


@dataclass(frozen=True, slots=True)
class Episode:
    """A prompt, and what is injected after each stretch of the model's own tokens."""

    prompt: list[int]
    injected: list[list[int]]


@dataclass(slots=True)
class Measured:
    """One run of an episode; times in ns."""

    tokens: list[int] = field(default_factory=list)  # the model's own
    first_ns: list[int] = field(default_factory=list)  # wait for the first token, then after each
    total_ns: int = 0


Method = Callable[[Episode], Measured]


def main() -> None:
    """Measure and print; with --intents fit the classifier too (half a minute)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and questions")
    parser.add_argument("--data", type=Path, default=DATA, metavar="YAML", help="questions")
    parser.add_argument("--intents", action="store_true", help="leave-one-out accuracy")
    parser.add_argument("--trained", action="store_true", help="the trained model alone")
    args = parser.parse_args()
    asked = read_questions(args.data)
    models = load_models()
    if args.trained:
        report_trained(models, asked, args.quick)
        return
    facts = [one.question for one in asked if one.kind == "fact"]
    rounds = QUICK_ROUNDS if args.quick else ROUNDS
    results = measure_cache(models.searcher, facts[:rounds])
    results["foveal-answers"] = measure_answers(models, asked[:: QUICK_STEP if args.quick else 1])
    if args.intents:
        examples = read_examples()
        _, accuracy = fit(examples, models.lm, models.searcher.encoder)
        results["intents"] = share("accuracy", round(accuracy * len(examples)), len(examples))
    goal = {
        "ttft_ms": f"<= {GOAL_TTFT_MS:.0f} (foveal-answers)",
        "tokens_per_s": ">= transformers' with the same tokens",
    }
    met = (
        results["foveal-answers"]["ttft_ms"] <= GOAL_TTFT_MS
        and results["foveal"]["tokens_per_s"] >= results["transformers"]["tokens_per_s"]
        and results["foveal"]["same_tokens"] == 1.0
    )
    emit("decode", results, goal, met)


def report_trained(models: Models, asked: Sequence[Asked], quick: bool) -> None:
    """The trained model's rows; memory is the whole process's."""
    views = list(read_views(models, asked).values())[: 1 if quick else None]
    questions = [one.question for one in asked if one.point is None]
    questions = questions[:: max(1, len(questions) // 6)]
    results = measure_trained(models, views, questions[:3] if quick else questions)
    ours = results["pixsearch-prefilled"]
    ours["peak_rss_mb"] = float(peak_memory_mb() or "nan")
    goal = {"ttft_ms": f"<= {GOAL_TTFT_MS:.0f} (pixsearch-prefilled)", "peak_rss_mb": "<= 1536"}
    met = ours["ttft_ms"] <= GOAL_TTFT_MS and ours["peak_rss_mb"] <= GOAL_MB
    emit("decode", results, goal, met)


def measure_cache(searcher: Searcher, questions: Sequence[str]) -> dict[str, dict[str, float]]:
    """Every way over real evidence, taking turns; medians over the questions."""
    folder = asset_path(LANGUAGE_MODEL, "hf/config.json").parent
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    lm = CausalLm(model, tokenizer)
    methods: dict[str, Method] = {
        "foveal": lambda episode: cached(lm, episode, TURN_TOKENS),
        "transformers": lambda episode: generated(model, episode, TURN_TOKENS, keep=True),
        "transformers-no-cache": lambda episode: generated(model, episode, TURN_TOKENS, keep=False),
    }
    episodes = [_episode(lm, searcher, question) for question in questions]
    for method in methods.values():
        method(episodes[0])  # warm
    runs: dict[str, list[Measured]] = {name: [] for name in methods}
    for number, episode in enumerate(episodes):
        order = list(methods)
        for name in order[number % len(order) :] + order[: number % len(order)]:
            runs[name].append(methods[name](episode))
    written = [[run.tokens for run in of] for of in runs.values()]
    same = float(all(tokens == written[0] for tokens in written))
    return {name: {**_medians(of), "same_tokens": same} for name, of in runs.items()}


def _episode(lm: CausalLm, searcher: Searcher, question: str) -> Episode:
    injected = []
    for words in (question, f"{question} history")[:INJECTIONS]:
        found = format_evidence(searcher.search(Query("text", words, 3)))
        injected.append(lm.encode(f" {INFORMATION} {found} {END_INFORMATION}"))
    return Episode(chat_prompt(lm, SYSTEM, SIGHT.format(question=question)), injected)


def cached(lm: CausalLm, episode: Episode, turn_tokens: int) -> Measured:
    """This project's way: every token is read once."""
    measured, state = Measured(), LmState()
    began = time.perf_counter_ns()
    for ids in (episode.prompt, *episode.injected):
        asked = time.perf_counter_ns()
        extend(lm, state, ids)
        for number in range(turn_tokens):
            token = choose(state)
            if number == 0:
                measured.first_ns.append(time.perf_counter_ns() - asked)
            measured.tokens.append(token)
            extend(lm, state, [token])
    measured.total_ns = time.perf_counter_ns() - began
    return measured


def generated(model: Any, episode: Episode, turn_tokens: int, keep: bool) -> Measured:
    """`generate` after each injection: with the cache of the calls before, or from the start."""
    measured = Measured()
    # What a given configuration leaves out is filled in from the model's own, its end token too.
    model.generation_config.eos_token_id = None
    config = GenerationConfig(
        do_sample=False, max_new_tokens=turn_tokens, eos_token_id=None, pad_token_id=0
    )
    sequence: list[int] = []
    cache = DynamicCache(config=model.config)
    began = time.perf_counter_ns()
    for ids in (episode.prompt, *episode.injected):
        sequence += ids
        first = _FirstToken()
        tensor = torch.tensor([sequence])
        with torch.inference_mode():
            out = model.generate(
                tensor,
                attention_mask=torch.ones_like(tensor),
                generation_config=config,
                streamer=first,
                **{cache_name(model): cache if keep else None},
            )
        own = out[0, len(sequence) :].tolist()
        measured.first_ns.append(first.waited_ns)
        measured.tokens += own
        sequence += own
    measured.total_ns = time.perf_counter_ns() - began
    return measured


class _FirstToken(BaseStreamer):  # type: ignore[misc]  # transformers comes without types here
    """Notes when the first generated token comes; the prompt is put first."""

    def __init__(self) -> None:
        self._began_ns = time.perf_counter_ns()
        self._puts = 0
        self.waited_ns = 0

    def put(self, value: torch.Tensor) -> None:
        self._puts += 1
        if self._puts == 2:
            self.waited_ns = time.perf_counter_ns() - self._began_ns

    def end(self) -> None:
        """Nothing is left to do."""


def _medians(runs: Sequence[Measured]) -> dict[str, float]:
    return {
        "ttft_ms": float(np.median([run.first_ns[0] for run in runs])) / NS_PER_MS,
        "resume_ms": float(np.median([ns for run in runs for ns in run.first_ns[1:]])) / NS_PER_MS,
        "tokens_per_s": float(np.median([len(run.tokens) / run.total_ns for run in runs])) * 1e9,
        "total_ms": float(np.median([run.total_ns for run in runs])) / NS_PER_MS,
    }


def measure_answers(models: Models, asked: Sequence[Asked]) -> dict[str, float]:
    """Whole answers as they are given by default; the first one warms up and is not counted."""
    views = read_views(models, asked)
    assistant = build_assistant(models)
    times: dict[str, list[float]] = {}
    for number, one in enumerate((asked[0], *asked)):
        answer_times = _answer_times(assistant, one.question, views[one.view])
        for name, took in answer_times.items() if number else ():
            times.setdefault(name, []).append(took / NS_PER_MS)
    first = times["first_token"]
    return {
        "ttft_ms": float(np.median(first)),
        "ttft_p95_ms": float(np.quantile(first, 0.95)),
        "first_word_ms": float(np.median(times["first_word"])),
        "search_ms": float(np.median(times.get("search", [0.0]))),
        "total_ms": float(np.median(times["total"])),
        "total_p95_ms": float(np.quantile(times["total"], 0.95)),
    }


def _answer_times(assistant: Assistant, question: str, view: SceneView) -> dict[str, int]:
    """The answer's own timings, and when its first heard token came; in ns."""
    assistant.forget()
    heard: list[int] = []
    hidden = False
    began = time.perf_counter_ns()

    def listen(event: AnswerEvent) -> None:
        nonlocal hidden
        if event.kind != "token":
            return
        text = event.data["text"]
        if text == SEARCH:
            hidden = True
        elif text == END_INFORMATION:
            hidden = False
        elif not hidden:
            heard.append(time.perf_counter_ns() - began)

    answer = assistant.ask(Question(question, 0), view, listen)
    return {**answer.timings_ns, "first_word": heard[0] if heard else answer.timings_ns["total"]}


if __name__ == "__main__":
    main()
