"""The segmenting language model: words and the spans of entities from one sequence of states.

Section 3 of PixSearch (arXiv 2601.19060) with an embedded language model. Where it departs is said
in docs/model.md: the tagger is causal, so that a span is known while decoding goes on, and an
entity's mask is chosen among what perception found (region_selector.py).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reasoning.generation.tokens import IMAGE, LEARNT, REGION, ControlIds
from reasoning.pixsearch.connector import Connector, VisualTokens, name_embeddings
from reasoning.pixsearch.lora import add_lora
from reasoning.vlm.causal_lm import HALF_STEP, cache_name


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of what is trained beside the language model."""

    lora_rank: int = 8
    lora_alpha: int = 16
    first_layer: int = 0  # adapters begin here; the layers below need no gradient
    grid: tuple[int, int] = (3, 4)  # rows and columns of visual tokens
    things: int = 4  # regions shown beside the grid
    hidden: int = 256  # of the tagger


class PixSearchModel(nn.Module):
    """A causal language model with control tokens, a connector and a tagger."""

    def __init__(
        self, lm: Any, names: Sequence[Sequence[int]], vocabulary: int, config: ModelConfig
    ) -> None:
        """`lm` is a LlamaForCausalLM (or one of its form), changed in place: pass `own_copy(lm)`.

        `names` are the token ids of each class name; `vocabulary` counts the tokenizer's ids.
        """
        super().__init__()
        self.config, self.controls = config, ControlIds(vocabulary)
        self.lm = lm
        table = lm.get_input_embeddings().weight.detach()
        width = int(table.shape[1])
        scale = float(table.float().norm(dim=-1).mean())
        add_lora(lm, config.first_layer, config.lora_rank, config.lora_alpha)
        rows = name_embeddings(table, names)
        self.connector = Connector(rows, scale)
        self.control_in = nn.Parameter(torch.randn(len(LEARNT), width) * scale / width**0.5)
        self.control_out = nn.Linear(width, len(LEARNT))
        nn.init.normal_(self.control_out.weight, std=0.02)
        nn.init.constant_(self.control_out.bias, -4.0)
        self.tagger = nn.Sequential(
            nn.Linear(3 * width, config.hidden), nn.GELU(), nn.Linear(config.hidden, 3)
        )
        self.word_scale = 1 / scale

    @property
    def dtype(self) -> torch.dtype:
        """Of the language model's weights."""
        weight: Tensor = self.lm.get_input_embeddings().weight
        return weight.dtype

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return self.control_in.device

    def embed(self, ids: Tensor) -> Tensor:
        """[...] ids, special tokens among them -> [..., D] float32."""
        ids = ids.to(self.device)
        special = (ids - self.controls.first).clamp(0, len(LEARNT) - 1)
        words: Tensor = self.lm.get_input_embeddings()(ids.clamp(max=self.controls.first - 1))
        return torch.where(
            (ids >= self.controls.first)[..., None], self.control_in[special], words.float()
        )

    def prefix(self, visual: VisualTokens) -> Tensor:
        """[p, D]: `<image>` and the grid, then `<region>` before each thing or pointed place."""
        rows = self.connector(visual)
        image, region = (self.control_in[LEARNT.index(c)][None] for c in (IMAGE, REGION))
        cells = [n for n, kind in enumerate(visual.kinds) if kind == 0]
        parts = [image, rows[cells]]
        for number, kind in enumerate(visual.kinds):
            if kind:
                parts += [region, rows[number][None]]
        return torch.cat(parts)

    def states(self, embeddings: Tensor, known: Tensor | None = None, cache: Any = None) -> Tensor:
        """[B, L, D] embeddings -> last-layer states float32; `known` [B, L] masks padding."""
        out = self.lm.model(
            inputs_embeds=embeddings.to(self.dtype),
            attention_mask=known,
            use_cache=cache is not None,
            **{cache_name(self.lm.model): cache},
        )
        result: Tensor = out.last_hidden_state.float()
        return result

    def read(self, rows: Tensor, cache: Any) -> Tensor:
        """[L, D] embeddings on top of a cache -> their states [L, D].

        In half precision padded to a multiple of 16 and cut again: oneDNN keeps a program and
        packed weights for every length that it meets.
        """
        spare = 0 if self.dtype == torch.float32 else -len(rows) % HALF_STEP
        padded = torch.cat([rows, rows.new_zeros(spare, rows.shape[1])])
        states = self.states(padded[None], cache=cache)[0, : len(rows)]
        cache.crop(-spare)
        return states

    def logits(self, states: Tensor) -> Tensor:
        """[..., D] states -> [..., V + 7]: words, then special tokens."""
        words = self.lm.lm_head(states.to(self.dtype)).float()[..., : self.controls.first]
        return torch.cat([words, self.control_out(states)], -1)

    def tag(self, states: Tensor, embeddings: Tensor) -> Tensor:
        """[B, L, D] states and embeddings -> [B, L, 3] logits of O, B, I; causal."""
        before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)
        words = embeddings.float() * self.word_scale
        return self.tagger(torch.cat([states, before, words], -1))  # type: ignore[no-any-return]


def own_copy(lm: Any, dtype: torch.dtype = torch.float32) -> Any:
    """A language model to adapt that shares its frozen weights with `lm` where the type allows."""
    shared = {id(tensor): tensor for tensor in (*lm.parameters(), *lm.buffers())}
    if dtype == next(lm.parameters()).dtype:
        twin = copy.deepcopy(lm, shared)
    else:
        # Converted one by one: a whole copy in the old type would be in memory for a while.
        memo: dict[int, Any] = {
            id(p): nn.Parameter(p.detach().to(dtype), requires_grad=False) for p in lm.parameters()
        }
        twin = copy.deepcopy(lm, memo).to(dtype)
    return twin
