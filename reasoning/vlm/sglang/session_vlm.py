"""A chat model whose server reads keyframes once, in sessions: a question sends its words alone.

It is asked as any chat server is; only what is sent differs: of the conversation what the session
does not hold. Where a session is lost the whole conversation goes the usual way.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from perception.scene.reader import SceneView
from reasoning.generation.config import ChatConfig
from reasoning.vlm.openai_client import ChatClient, Delta
from reasoning.vlm.openai_vlm import ChatState, ChatVlm
from reasoning.vlm.sglang.chat_markup import CLOSE, asked, opened, picture_token
from reasoning.vlm.sglang.video_sessions import AppendedKeyframe, VideoSessions
from reasoning.vlm.tagged_stream import Grounder
from stream.errors import BackendError, ConfigError

logger = logging.getLogger(__name__)


class SessionVlm(ChatVlm):
    """A SegmentingLMM over a chat server that keeps video sessions."""

    def __init__(
        self, client: ChatClient, grounder: Grounder, config: ChatConfig | None = None
    ) -> None:
        """Raises ConfigError for another server, functions, and models of unknown markup."""
        config = config or ChatConfig()
        if config.server not in ("auto", "sglang") or config.calls == "tools":
            raise ConfigError(
                "expected chat.server sglang and chat.calls tags for chat.video_session: sglang, "
                f"got {config.server} and {config.calls}"
            )
        super().__init__(client, grounder, replace(config, server="sglang"))
        self._token = picture_token(self._format.name)
        self._sessions = VideoSessions(client, self._config.video_tokens)

    def read_view(self, view: SceneView, earlier: Sequence[SceneView] = ()) -> None:
        """See ReadsAhead: the keyframe is appended to the wearer's session."""
        start = opened(self._told()["content"])
        picture = self._picture(view.frame.image)["image_url"]["url"]
        self._sessions.append(view, earlier, start, f"{self._token}\n", picture)

    def _deltas(self, state: ChatState, options: dict[str, Any]) -> Iterator[Delta]:
        prompt = state.prompt
        seen = () if prompt.seen is None else (*prompt.earlier, prompt.seen)
        base = self._sessions.newest(seen)
        if base is None:
            return super()._deltas(state, options)
        return self._on(base, state, options, self._rest(base, state, seen))

    def _rest(
        self, base: AppendedKeyframe, state: ChatState, seen: Sequence[SceneView]
    ) -> tuple[str, list[str]]:
        """The conversation without what the session holds."""
        messages = [dict(message) for message in state.messages[1:]]
        last = next(one for one in messages if not isinstance(one["content"], str))
        held = any(
            view.frame is state.prompt.view.frame and self._sessions.newest((view,)) is base
            for view in seen
        )
        if held:
            last["content"] = last["content"][1:]
        return asked(messages, self._token)

    def _on(
        self,
        base: AppendedKeyframe,
        state: ChatState,
        options: dict[str, Any],
        rest: tuple[str, list[str]],
    ) -> Iterator[Delta]:
        said = False
        answer = self._sessions.ask(base, *rest, self._sampling(options), state.prompt.cancel)
        try:
            with closing(answer):
                for delta in answer:
                    said = said or bool(delta.text)
                    yield delta
            return
        except BackendError as error:
            self._sessions.lose(base.session)
            if said:
                raise
            logger.warning(
                "the video session at %s is lost (%s): the whole context is sent",
                self._client.endpoint.url, error,
            )  # fmt: skip
        yield from super()._deltas(state, options)

    def _sampling(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options as SGLang's own API names them."""
        named: dict[str, str] = {self._server.limit: "max_new_tokens"}
        wanted = {self._server.limit, "temperature", self._server.grammar}
        sampling = {named.get(key, key): value for key, value in options.items() if key in wanted}
        return sampling | {"stop": [*self._config.stop, CLOSE]}
