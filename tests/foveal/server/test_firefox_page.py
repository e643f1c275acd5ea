"""The page in Firefox: camera, data channel, a question and its answer."""

from pathlib import Path

import pytest

from foveal.server.app import ServeConfig
from tests.devices.whip.firefox import PROGRAM, Firefox
from tests.foveal.live.live_rig import SAID
from tests.foveal.server.serve_rig import Site


@pytest.mark.skipif(PROGRAM is None, reason="no Firefox (Debian: firefox-esr)")
async def test_a_question_is_answered_in_firefox(tmp_path: Path) -> None:
    async with Site(ServeConfig()) as site, Firefox(tmp_path) as firefox:
        await firefox.open(f"{site.url}/")
        await firefox.run("document.querySelector('#use-camera').click()")
        await firefox.until("document.querySelector('#state').textContent === 'Live'")
        await firefox.until("!document.querySelector('#send').disabled")
        await firefox.run(
            "document.querySelector('#text').value = 'What is this?';"
            "document.querySelector('#ask').requestSubmit()"
        )
        told = "document.querySelector('#transcript').textContent"
        await firefox.until(f"{told}.includes('{SAID}')")
        assert site.server.state()["camera"] is True
