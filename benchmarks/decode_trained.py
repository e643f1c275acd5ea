"""How soon the trained segmenting model answers: cold, on a view read ahead, and by `generate`.

All three read the same visual prefix and question and write words with the same weights. `cold`
reads the view with the question; `prefilled` finds it in the cache, as after a keyframe;
`generate` is transformers' own loop over the same embeddings. `ttft_cpu_ms` is the time the process
spent until the first token, the fairer number on a busy machine.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig
from transformers.generation.streamers import BaseStreamer

from foveal.config.models import PixSearchConfig
from foveal.setup.assistant import Models, trained_model
from perception.scene.reader import SceneView
from reasoning.generation.protocol import Prompt
from reasoning.pixsearch.generate import PixSearchLMM
from reasoning.pixsearch.processing import question_text
from stream.events import Question

TOKENS = 24  # written after each question
NS_PER_MS = 1e6


@dataclass(slots=True)
class Timed:
    """Times of one way, in ns."""

    first: list[int] = field(default_factory=list)
    spent: list[int] = field(default_factory=list)  # of the processor, until the first token
    rest: list[float] = field(default_factory=list)  # per token after the first


class FirstToken(BaseStreamer):  # type: ignore[misc]  # transformers comes without types here
    """Notes when the first generated token comes."""

    def __init__(self) -> None:
        self.began, self.spent = time.perf_counter_ns(), time.process_time_ns()
        self.waited = 0
        self._puts = 0

    def put(self, value: torch.Tensor) -> None:
        self._puts += 1
        if self._puts == 2:  # the first one is the (empty) prompt of ids
            self.waited = time.perf_counter_ns() - self.began
            self.spent = time.process_time_ns() - self.spent

    def end(self) -> None:
        """Nothing is left to do."""


def measure_trained(
    models: Models, views: Sequence[SceneView], questions: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Rows `pixsearch-cold`, `-prefilled` and `-generate`: medians over views and questions."""
    model = trained_model(models, PixSearchConfig())
    timed = {name: Timed() for name in ("cold", "prefilled", "generate")}
    reads: list[int] = []
    for number, view in enumerate((views[0], *views)):
        for asked in questions:
            began = time.perf_counter_ns()
            model.read_view(view)
            reads.append(time.perf_counter_ns() - began)
            prompt = Prompt(Question(asked, 0), view)
            _written(model, prompt, timed["prefilled"])
            _generated(model, prompt, timed["generate"])
            model.forget_view(view)
            _written(model, prompt, timed["cold"])
            model.forget_view(view)
        if not number:  # the first view warms up
            reads, timed = [], {name: Timed() for name in timed}
    rows = {f"pixsearch-{name}": _row(of) for name, of in timed.items()}
    rows["pixsearch-prefilled"]["read_view_ms"] = float(np.median(reads)) / NS_PER_MS
    return rows


def _written(model: PixSearchLMM, prompt: Prompt, into: Timed) -> None:
    """This project's way: prefill, then steps."""
    began, spent = time.perf_counter_ns(), time.process_time_ns()
    state = model.prefill(prompt)
    model.step(state, may_search=False)
    into.first.append(time.perf_counter_ns() - began)
    into.spent.append(time.process_time_ns() - spent)
    count, began = 0, time.perf_counter_ns()
    while count < TOKENS and state.grammar.place != "ended":
        model.step(state, may_search=False)
        count += 1
    if count:
        into.rest.append((time.perf_counter_ns() - began) / count)


def _generated(model: PixSearchLMM, prompt: Prompt, into: Timed) -> None:
    """`generate` over the same embeddings."""
    net, tokenizer = model.network, model.tokenizer
    first = FirstToken()
    with torch.inference_mode():
        prefix = net.prefix(model.visual.of_view(prompt.view))
        asked = net.embed(torch.tensor(tokenizer.encode(question_text(prompt.question.text))))
        rows = torch.cat([prefix, asked])[None].to(net.dtype)
        net.lm.generation_config.eos_token_id = None
        config: Any = GenerationConfig(
            do_sample=False, max_new_tokens=TOKENS, eos_token_id=None, pad_token_id=0
        )
        net.lm.generate(
            inputs_embeds=rows,
            attention_mask=torch.ones(rows.shape[:2], dtype=torch.long),
            generation_config=config,
            streamer=first,
        )
    into.first.append(first.waited)
    into.spent.append(first.spent)
    into.rest.append((time.perf_counter_ns() - first.began - first.waited) / (TOKENS - 1))


def _row(timed: Timed) -> dict[str, float]:
    return {
        "ttft_ms": float(np.median(timed.first)) / NS_PER_MS,
        "ttft_cpu_ms": float(np.median(timed.spent)) / NS_PER_MS,
        "ttft_p95_ms": float(np.quantile(timed.first, 0.95)) / NS_PER_MS,
        "tokens_per_s": 1e9 / float(np.median(timed.rest)),
    }
