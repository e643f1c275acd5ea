// A recording played in the page: its picture, its masks, its conversation.

const FORGET = 400;  // ms that masks stay when none come

export class Replay {
  constructor(link, video, show, clear) {
    Object.assign(this, {link, video, show, clear});
    this.active = false;
  }

  async list() {
    const response = await fetch('recordings', {headers: this.link.headers()});
    return response.ok ? response.json() : null;
  }

  async remove(id) {
    await fetch(`recordings/${id}`, {method: 'DELETE', headers: this.link.headers()});
  }

  async open(id) {
    const get = async file => {
      const response = await fetch(`recordings/${id}/${file}`, {headers: this.link.headers()});
      if (!response.ok) throw new Error((await response.json().catch(() => ({}))).detail || 'this recording cannot be played');
      return response;
    };
    const lines = (await (await get('messages.jsonl')).text()).split('\n').filter(Boolean);
    this.events = lines.map(line => JSON.parse(line));
    this.url = URL.createObjectURL(await (await get('view.mp4')).blob());
    this.active = true;
    this.video.srcObject = null;
    this.video.src = this.url;
    this.video.loop = false;
    await this.video.play();
    this.#restart();
  }

  close() {
    this.active = false;
    this.video.pause();
    this.video.removeAttribute('src');
    this.video.load();
    URL.revokeObjectURL(this.url);
  }

  #restart() {
    this.next = 0;
    this.at = 0;
    this.clear();
  }

  // Called for every picture that is drawn.
  tick() {
    const now = 1000 * this.video.currentTime;
    if (now + 50 < this.at) this.#restart();
    this.at = now;
    while (this.next < this.events.length && this.events[this.next].at_ms <= now) {
      const event = this.events[this.next++];
      const late = event.type === 'regions' && now - event.at_ms > FORGET;
      if (!late) this.show(event);
    }
  }
}
