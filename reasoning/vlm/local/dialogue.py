"""The conversation in a model's own chat template: a head that stays, and a tail for a question.

The head is the system's words and the pictures, up to where the wearer's first words follow. It is
read when a keyframe comes; a question is the tail behind it. Both are cut out of the same rendered
conversation, so that reading them one after the other is reading the whole.
"""

import threading
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from PIL.Image import Image as Picture
from torch import Tensor

from reasoning.generation.tokens import IMAGE, neutralise
from reasoning.vlm.markup import PICTURE
from stream.errors import AssetError

MARK = "foveal-words-follow"  # stands where the wearer's words begin
ANSWER = "foveal-answer"
FAULTS = (TemplateError, ValueError, TypeError, KeyError, IndexError)  # of templates


class Dialogue:
    """Conversations about pictures as tokens; threads may share it.

    A tokenizer keeps settings of the call that it is in, so one thread at a time may use it.
    """

    def __init__(self, processor: Any, instructions: str, name: str, markup: str = "") -> None:
        """`markup`: words in which special tokens may stand that belong to what the model says.

        Raises AssetError for a template that takes no pictures, or none at all.
        """
        self._processor = processor
        self._tokenizer: Any = processor.tokenizer
        self._lock = threading.RLock()
        thinks = "enable_thinking" in str(processor.chat_template)
        self._options = {"enable_thinking": False} if thinks else {}
        known = [str(one) for one in self._tokenizer.added_tokens_decoder.values() if one.special]
        # Those with brackets are harmless as soon as the brackets are gone.
        self._specials = sorted((word for word in known if "<" not in word), key=len, reverse=True)
        # To some models <image> is a picture: they write another word for it (SmolVLM, LLaVA).
        self.image_tag = IMAGE if IMAGE not in known else PICTURE
        self._instructions = instructions.replace(IMAGE, self.image_tag)
        silent = [word for word in known if word not in markup]
        self._not_own = sorted(silent, key=len, reverse=True)
        self._silent = frozenset(self._tokenizer.convert_tokens_to_ids(silent))
        self._system = self._has_system()
        self._check(name)

    def head(self, captions: Sequence[str]) -> str:
        """Up to the wearer's first words; a caption stands before each picture."""
        return self._render(captions, [MARK]).partition(MARK)[0]

    def tail(self, captions: Sequence[str], said: Sequence[str]) -> list[int]:
        """Token ids behind the head: what was said in turns, the wearer first and last."""
        text = self._render(captions, [MARK, *said[1:]]).partition(MARK)[2]
        return self._ids(said[0] + text)

    def inputs(self, head: str, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """What the network takes of a head: ids [1, L], and whatever its eyes need."""
        begun = self._tokenizer.bos_token
        with self._lock:
            found = self._processor(
                text=[head],
                images=[list(pictures)],
                return_tensors="pt",
                add_special_tokens=not (begun and head.startswith(begun)),
            )
        return dict(found)

    def plain_ids(self, text: str) -> list[int]:
        """Token ids of foreign words: no special token is read out of them."""
        with self._lock:
            ids: list[int] = self._tokenizer(
                text, add_special_tokens=False, split_special_tokens=True
            ).input_ids
        return ids

    def words(self, ids: Sequence[int]) -> str:
        """The text of token ids; of special tokens only those of the model's markup."""
        spoken = [token for token in ids if token not in self._silent]
        with self._lock:
            return str(self._tokenizer.decode(spoken))

    def harmless(self, text: str) -> str:
        """Foreign words that hold no special token of the model, in one line."""
        plain = neutralise(text)
        for word in self._specials:
            plain = plain.replace(word, word.strip("[]{}|‹›"))
        return plain

    def own(self, text: str) -> str:
        """What the model wrote before, with its marks; letters that spell special tokens go."""
        for word in self._not_own:
            text = text.replace(word, "")
        return text

    def ends(self) -> frozenset[int]:
        """Tokens that end an answer: the tokenizer's own, and what the template puts behind one."""
        own = self._tokenizer.eos_token_id
        found: set[int] = set() if own is None else {own}
        behind = self._ids(self._render([""], [MARK, ANSWER, MARK]).partition(ANSWER)[2])
        if behind and behind[0] in self._tokenizer.all_special_ids:
            found.add(behind[0])
        return frozenset(found)

    def never(self) -> frozenset[int]:
        """Tokens that stand for parts of pictures: no answer is made of them."""
        names = ("image_token_id", "video_token_id")
        found = [getattr(self._processor, name, None) for name in names]
        found += getattr(self._processor, "image_token_ids", ())
        return frozenset(token for token in found if token is not None)

    def _ids(self, text: str) -> list[int]:
        with self._lock:
            ids: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return ids

    def _render(self, captions: Sequence[str], said: Sequence[str]) -> str:
        first: list[dict[str, str]] = []
        for caption in captions:
            first += [_text(caption)] if caption else []
            first.append({"type": "image"})
        messages: list[dict[str, Any]] = []
        if self._system:
            messages.append({"role": "system", "content": [_text(self._instructions)]})
        else:
            first.insert(0, _text(f"{self._instructions}\n"))
        for number, words in enumerate(said):
            before = first if number == 0 else []
            role = "assistant" if number % 2 else "user"
            messages.append({"role": role, "content": [*before, _text(words)]})
        with self._lock:
            return str(
                self._processor.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True, **self._options
                )
            )

    def _has_system(self) -> bool:
        """Whether the template has a place for the system's words."""
        self._system = True
        try:
            return self._instructions[:40] in self._render([""], [MARK])
        except FAULTS:
            return False

    def _check(self, name: str) -> None:
        try:
            seen, blind = self._render([""], [MARK]), self._render([], [MARK])
            later = self._render([""], [MARK, ANSWER, MARK])
        except FAULTS as error:
            raise _no_pictures(name, str(error)) from error
        head, mark, _ = seen.partition(MARK)
        if not mark or seen == blind or "{'type'" in seen:
            raise _no_pictures(name, "pictures leave no trace in what it writes")
        if not later.startswith(head + mark):
            raise AssetError(
                f"expected a chat template of {name} that writes the first turn alike whatever "
                "follows it; this one does not, so nothing can be read ahead of a question"
            )


def _text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def _no_pictures(name: str, reason: str) -> AssetError:
    told = " ".join(reason.split())[:200]
    return AssetError(
        f"expected a chat template that takes pictures in {name}: {told}; take an instruct or chat "
        "version of the model"
    )
