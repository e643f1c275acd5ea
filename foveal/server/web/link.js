// The connection: WebRTC with a data channel, or a WebSocket; it comes back by itself and resumes.

const VERSION = 1;
const PAUSES = [500, 1000, 2000, 4000, 8000];
const KEY = 'foveal.conversation';
const RESTART_MS = 6000;   // another path is looked for so long; then a new connection is made
const OPEN_MS = 15_000;    // until a connection counts as failed
const BLIP_MS = 1000;      // a gap in the network that may close by itself
const LOOK_MS = 3000;      // until a picture that broke off is asked for again
const LINK = /<([^>]+)>((?:\s*;\s*[\w-]+="(?:[^"\\]|\\.)*")*)/g;
const ICE = /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates)/;

export class Refused extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

// What the box said, in its own words.
async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  return new Refused(response.status, problem.detail || `the box said ${response.status}`, 1000 * Number(response.headers.get('Retry-After')) || 0);
}

// STUN and TURN servers of Link headers (RFC 9725 section 4.6).
export function iceServers(header) {
  return [...(header ?? '').matchAll(LINK)].map(([, urls, rest]) => {
    const values = Object.fromEntries([...rest.matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value.replace(/\\(.)/g, '$1')]));
    return values.rel === 'ice-server' && {urls, ...(values.username && {username: values.username, credential: values.credential})};
  }).filter(Boolean);
}

// When a channel opens; listened for from the start, as it may open while something else is awaited.
function opening(channel) {
  const opened = new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error('no connection came about')), OPEN_MS);
    channel.onopen = () => { clearTimeout(timer); done(); };
  });
  opened.catch(() => {});  // it may fail before anybody awaits it, or after another failure
  return opened;
}

export class Link extends EventTarget {
  constructor(token) {
    super();
    this.token = token;
    this.media = null;      // MediaStream to send
    this.conversation = null;
    this.seq = 0;
    this.wanted = false;
    this.tries = this.restarts = 0;
    this.peer = this.channel = this.socket = this.viewer = this.mouth = null;
    addEventListener('online', () => this.#hurry());
    navigator.connection?.addEventListener('change', () => this.#moved());
  }

  get open() {
    return this.channel?.readyState === 'open' || this.socket?.readyState === WebSocket.OPEN;
  }

  // What an earlier page of this tab left: its conversation, to be heard from its first message.
  recall() {
    this.conversation = sessionStorage.getItem(KEY);
    this.seq = 0;
    return this.conversation;
  }

  async start(media) {
    this.media = media;
    this.wanted = true;
    this.tries = 0;
    await this.#connect();
  }

  async watch(conversation) {
    this.conversation = conversation;
    await this.start(null);
  }

  say(type, data = {}) {
    const text = JSON.stringify({v: VERSION, type, ...data});
    if (type === 'talk' && this.mouth?.channel.readyState === 'open') this.mouth.channel.send(text);
    else if (this.channel?.readyState === 'open') this.channel.send(text);
    else if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(text);
    else return false;
    return true;
  }

  // For good; the server forgets the session after a while.
  async stop() {
    this.wanted = false;
    clearTimeout(this.timer);
    sessionStorage.removeItem(KEY);
    await this.#drop();
    this.conversation = null;
    this.seq = 0;
    this.#state('off');
  }

  async replace(track) {
    const sender = this.peer?.getSenders().find(one => one.track?.kind === track.kind || one.track === null);
    if (sender) await sender.replaceTrack(track);
  }

  #query() {
    const query = new URLSearchParams();
    if (this.conversation) {
      query.set('conversation', this.conversation);
      query.set('after', this.seq);
    }
    return query.size ? '?' + query : '';
  }

  async #connect() {
    this.#state(this.tries ? 'lost' : 'connecting');
    try {
      if (this.media) return await this.#openPeer();
      await this.#openSocket();
      this.#look();
    } catch (error) {
      await this.#drop();
      if (error instanceof Refused && error.status !== 503 && error.status !== 429) {
        this.wanted = false;
        this.#state('off');
        throw error;
      }
      if (!this.tries && error instanceof Refused) this.#tell('refused', {reason: error.message, after: error.retryAfter});
      this.#again(error.retryAfter);
    }
  }

  async #openPeer() {
    const peer = this.peer = await this.#newPeer();
    const channel = this.channel = peer.createDataChannel('foveal');
    channel.onmessage = event => this.#take(event.data);
    channel.onclose = () => this.#lost(peer);
    const opened = opening(channel);
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === 'failed') this.#lost(peer);
      if (peer.connectionState === 'disconnected') setTimeout(() => peer.connectionState === 'disconnected' && this.#moved(), BLIP_MS);
    };
    peer.ontrack = event => this.#tell('voice', {stream: new MediaStream([event.track])});
    const [video] = this.media.getVideoTracks(), [audio] = this.media.getAudioTracks();
    const direction = 'sendonly', streams = [this.media];
    if (video) {
      video.contentHint = 'detail';
      const {sender} = peer.addTransceiver(video, {direction, streams, sendEncodings: [{maxBitrate: 2_500_000, maxFramerate: 15}]});
      const parameters = sender.getParameters();
      parameters.degradationPreference = 'maintain-resolution';
      await sender.setParameters(parameters).catch(() => {});
    }
    peer.addTransceiver(audio ?? 'audio', {direction: 'sendrecv', streams});
    await peer.setLocalDescription();
    const answer = await this.#offer(peer, 'session' + this.#query());
    this.place = answer.headers.get('Location');
    this.answer = await answer.text();
    await peer.setRemoteDescription({type: 'answer', sdp: this.answer});
    // Candidates found by now go along with ours; on a local network that is all of them.
    await this.#trickle(peer, answer.headers.get('ETag'));
    await opened;
  }

  async #newPeer() {
    const asked = await fetch('session', {method: 'OPTIONS', headers: this.headers()}).catch(() => null);
    const peer = new RTCPeerConnection({bundlePolicy: 'max-bundle', iceServers: iceServers(asked?.headers.get('Link'))});
    peer.onicecandidateerror = event => this.#unrelayed(event);
    return peer;
  }

  // Codes of 700 and more: one of our own addresses does not reach the server, another one may.
  #unrelayed({errorCode, errorText, url}) {
    if (!url.startsWith('turn') || errorCode >= 700 || this.unrelayed === url) return;
    this.unrelayed = url;
    const why = errorCode === 401 ? 'refuses the name or the password that the box gave for it' : `gives no address: ${errorText}`;
    this.#tell('trouble', {reason: `The TURN server ${url.replace(/^turns?:|\?.*/g, '')} ${why} (${errorCode}).`});
  }

  // The picture with its masks, and the voice, for a screen without a camera (WHEP). Without
  // leave to play there are the messages alone.
  async #look() {
    const {socket} = this;
    while (!this.conversation && socket === this.socket) await new Promise(done => setTimeout(done, 50));
    const peer = this.viewer = await this.#newPeer();
    for (const kind of ['audio', 'video']) peer.addTransceiver(kind, {direction: 'recvonly'});
    peer.ontrack = ({track}) => this.#tell(track.kind === 'video' ? 'view' : 'voice', {stream: new MediaStream([track])});
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === 'failed' && peer === this.viewer && socket === this.socket) setTimeout(() => socket === this.socket && this.#look(), LOOK_MS);
    };
    try {
      await peer.setLocalDescription();
      await this.#gathered(peer);
      const answer = await this.#offer(peer, 'whep?' + new URLSearchParams({conversation: this.conversation}));
      this.viewed = answer.headers.get('Location');
      await peer.setRemoteDescription({type: 'answer', sdp: await answer.text()});
    } catch {
      peer.close();
    }
  }

  // The microphone of a screen without a camera: a connection of its own, into the same session.
  async openMouth(stream) {
    const peer = await this.#newPeer(), channel = peer.createDataChannel('talk');
    let closed = false;
    const close = () => {
      if (closed) return;
      closed = true;
      peer.close();
      if (this.mouth?.peer === peer) this.mouth = null;
      this.#tell('mute', {});
    };
    this.mouth = {peer, channel, close};
    channel.onclose = close;
    const opened = opening(channel);
    peer.onconnectionstatechange = () => peer.connectionState === 'failed' && close();
    try {
      peer.addTransceiver(stream.getAudioTracks()[0], {direction: 'sendonly', streams: [stream]});
      await peer.setLocalDescription();
      await this.#gathered(peer);
      const answer = await this.#offer(peer, 'session?' + new URLSearchParams({conversation: this.conversation}));
      this.mouth.place = answer.headers.get('Location');
      await peer.setRemoteDescription({type: 'answer', sdp: await answer.text()});
      await opened;
    } catch (error) {
      close();
      throw error;
    }
  }

  async #offer(peer, where) {
    let response;
    try {
      response = await fetch(where, {method: 'POST', body: peer.localDescription.sdp,
        headers: {'Content-Type': 'application/sdp', ...this.headers()}});
    } catch {
      throw new Error('the box does not answer');
    }
    if (response.status !== 201) throw await refusal(response);
    return response;
  }

  async #gathered(peer) {
    if (peer.iceGatheringState === 'complete') return;
    const done = new Promise(done => { peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && done(); });
    await Promise.race([done, new Promise(done => setTimeout(done, 800))]);
  }

  // The network changed, or is gone: another path under the same connection (ICE restart by PATCH,
  // RFC 9725 section 4.3.3). Nothing else changes; without a path a new connection resumes.
  async #moved() {
    const {peer, place} = this;
    if (!this.wanted || !peer || !place || this.restarting || this.channel?.readyState !== 'open') return;
    this.restarting = true;
    this.#state('lost');
    try {
      await this.#restart(peer, place);
      const end = performance.now() + RESTART_MS;
      while (!['connected', 'completed'].includes(peer.iceConnectionState)) {
        if (performance.now() > end) throw new Error('no other path');
        await new Promise(done => setTimeout(done, 100));
      }
      this.restarts += 1;
      if (peer === this.peer) this.#state('live');
    } catch {
      this.#lost(peer);
    } finally {
      this.restarting = false;
    }
  }

  async #restart(peer, place) {
    peer.restartIce();
    await peer.setLocalDescription();
    await this.#gathered(peer);
    const lines = peer.localDescription.sdp.split('\r\n'), section = lines.findIndex(line => line.startsWith('m='));
    const next = lines.findIndex((line, index) => index > section && line.startsWith('m='));
    const first = lines.slice(section, next < 0 ? undefined : next).filter(line => ICE.test(line) && !line.startsWith('a=end'));
    const headers = {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*', ...this.headers()};
    const response = await fetch(place, {method: 'PATCH', body: [...first, 'a=end-of-candidates'].join('\r\n'), headers, signal: AbortSignal.timeout(RESTART_MS)});
    if (response.status !== 200) throw new Error('the box cannot restart');
    const news = (await response.text()).split('\r\n').filter(line => ICE.test(line));
    // Its answer is the old one by the new way: credentials and candidates are exchanged.
    const rest = this.answer.split('\r\n').filter(line => !ICE.test(line));
    this.answer = rest.flatMap(line => line.startsWith('a=mid:') ? [line, ...news] : [line]).join('\r\n');
    await peer.setRemoteDescription({type: 'answer', sdp: this.answer});
  }

  async #trickle(peer, etag) {
    await this.#gathered(peer);
    const lines = peer.localDescription.sdp.split('\r\n').filter(line => line.startsWith('a=candidate'));
    const headers = {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': etag, ...this.headers()};
    if (lines.length) await fetch(this.place, {method: 'PATCH', body: [...lines, 'a=end-of-candidates'].join('\r\n'), headers}).catch(() => {});
  }

  async #openSocket() {
    const url = new URL('events' + this.#query(), location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const protocols = ['foveal.v1', ...(this.token ? ['bearer.' + this.token] : [])];
    const socket = this.socket = new WebSocket(url, protocols);
    socket.onmessage = event => this.#take(event.data);
    await new Promise((done, fail) => {
      socket.onopen = done;
      socket.onclose = () => fail(new Error('the box does not answer'));
    }).catch(error => this.#askWhy(error));
    socket.onclose = () => this.#lost(socket);
  }

  // Browsers do not tell why a socket was refused; the same request without one is answered.
  async #askWhy(error) {
    const response = await fetch('events' + this.#query(), {headers: this.headers()}).catch(() => null);
    throw [401, 403, 429, 503].includes(response?.status) ? await refusal(response) : error;
  }

  headers() {
    return this.token ? {Authorization: 'Bearer ' + this.token} : {};
  }

  #take(text) {
    const message = JSON.parse(text);
    if (message.type === 'hello') {
      const resumed = message.conversation === this.conversation;
      if (!resumed) this.seq = message.seq;
      message.resumed = resumed;
      this.conversation = message.conversation;
      sessionStorage.setItem(KEY, message.conversation);
      this.tries = 0;
      this.#state('live');
    } else if (message.seq) {
      this.seq = message.seq;
    }
    if (message.type === 'bye') {
      this.conversation = null;
      sessionStorage.removeItem(KEY);
    }
    this.#tell('message', message);
  }

  #lost(of) {
    if (!this.wanted || (of !== this.peer && of !== this.socket)) return;
    this.#drop();
    this.#again();
  }

  #again(after = 0) {
    if (!this.wanted) return;
    const pause = Math.max(after || 0, PAUSES[Math.min(this.tries++, PAUSES.length - 1)]);
    this.#state('lost');
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#connect().catch(error => this.#tell('refused', {reason: error.message})), pause);
  }

  #hurry() {
    if (this.wanted && !this.open) {
      this.tries = 0;
      this.#again();
    }
  }

  async #drop() {
    const {peer, viewer, socket, place, viewed, mouth} = this;
    this.peer = this.channel = this.socket = this.viewer = this.place = this.viewed = null;
    socket?.close();
    const over = [!this.wanted && place, viewed, mouth?.place].filter(Boolean);
    await Promise.all(over.map(one => fetch(one, {method: 'DELETE', headers: this.headers(), keepalive: true}).catch(() => {})));
    // Afterwards: the box forgets a session as soon as its connection ends.
    viewer?.close();
    mouth?.close();
    peer?.close();
  }

  #state(state) {
    this.state = state;
    this.#tell('state', {state});
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, {detail}));
  }
}
