"""A live session tells its wearer what it has sent to a server, and keeps it in its recording."""

import asyncio
import base64
import hashlib
import json
from pathlib import Path

from foveal.live.recording import FileRecording
from foveal.session.stages import Stages
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.segmenting.box_to_mask import SceneGrounder
from reasoning.vlm.openai_vlm import ChatVlm
from stream.outgoing import OutgoingLog
from tests.doubles.perception import FakeScene
from tests.doubles.reasoning import ScriptedSearcher
from tests.foveal.live.live_rig import CUP, LiveRig, QueueSource, make_stages, validators
from tests.reasoning.vlm.chat_server import chat_server


async def test_what_is_sent_is_told_and_recorded(tmp_path: Path) -> None:
    log = OutgoingLog()
    with chat_server(["A cup."], log=log) as (client, server):
        made = make_stages()
        lmm = ChatVlm(client, SceneGrounder(FakeScene([CUP])))
        assistant = Assistant(lmm, SearchDecoder(ScriptedSearcher()))
        parts = (made.selector, made.backbone, made.masklets, made.reader, assistant, made.tracer)
        async with LiveRig(lambda: Stages(*parts)) as rig:
            recording = FileRecording(tmp_path / "one", 60.0)
            rig.live.renew(recording)
            source = QueueSource()
            source.put(0)
            task = asyncio.create_task(rig.live.watch(source))
            await rig.until("regions")
            rig.live.ask("What is this?")
            source.put(100)
            await rig.until("end")
            (told,) = rig.of("outgoing")
            source.queue.put_nowait(None)
            await task
    assert validators()["server"].is_valid({"v": 1, "type": "outgoing", "seq": 1, **told})
    sent = [
        base64.b64decode(part["image_url"]["url"].partition(",")[2])
        for message in server.requests[0]["messages"]
        for part in message["content"]
        if isinstance(part, dict) and part["type"] == "image_url"
    ]
    assert len(sent) >= 1 and told["pictures"] == [
        {"sha256": hashlib.sha256(one).hexdigest(), "size_bytes": len(one)} for one in sent
    ]
    assert told["local"] and "What is this?" in told["words"]
    (kept,) = map(json.loads, (tmp_path / "one/outgoing.jsonl").read_text().splitlines())
    assert kept["pictures"] == told["pictures"] and kept["words"] == log.recent[0].words
