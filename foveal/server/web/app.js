// The page: a camera or a file in; masks, answers and their evidence out.

import {Link} from './link.js';
import {MaskPainter, Pictures, fit} from './masks.js';
import {Panels, watchDevice} from './panels.js';
import {Replay} from './replay.js';
import {Transcript, make} from './transcript.js';

const $ = id => document.getElementById(id);
const NETWORK_MS = 60;   // camera to box: encoding and sending, about, until the box knows our clock
const CLOCKS_MS = 2000;  // that what the box says of our clock may be off; then it was set meanwhile
const MOST_LAG_MS = 2800, FREE_MS = 1000;  // without masks for so long the picture runs on
const PICTURE_MS = 1000 / 15;
const EXPIRES_S = 60;    // leave to record that is left when the wearer is asked for more
const DRAG = .03;        // share of the picture that makes a tap a box

function takeToken() {
  const hash = new URLSearchParams(location.hash.slice(1));
  if (hash.has('token')) {
    sessionStorage.setItem('foveal.token', hash.get('token'));
    history.replaceState(null, '', location.pathname);
  }
  return {token: sessionStorage.getItem('foveal.token'), watch: hash.get('conversation')};
}

const {token, watch} = takeToken();
const link = new Link(token);
const painter = new MaskPainter($('masks'));
const pictures = new Pictures();
const panels = new Panels($);
const video = $('source');
const transcript = new Transcript($('transcript'), $('empty'), choose);
const replay = new Replay(link, video, message => handlers[message.type]?.(message), () => { transcript.clear(); shown = null; });

let shown = null;        // the last `regions`
let lag = 150;           // ms from camera to masks, smoothed
let came = 0, gap = 0;   // when masks came last, ms since those before, smoothed
let aim = null;          // {point} or {box} of the next question
let media = null, facing = 'environment', kind = null;
let screen = false;      // another's camera is shown, with its masks in the picture
let hello = null, tellDevice = null, sound, size = [480, 640], wake = null;

// For tests and the curious.
window.foveal = {link, painter, transcript, get hello() { return hello; }, get regions() { return shown; }, voice: null, get last() { return transcript.last; }};

// --- what the box says

const handlers = {
  hello(message) {
    hello = message;
    $('camera').hidden = !message.camera;
    recorded(message.recorded);
    remembered(message.remembered);
    if (!message.resumed) {
      if (transcript.turns.size) transcript.note('The box had forgotten the conversation: this is a new one.');
      painter.labels.clear();
    } else if (message.missed) transcript.note(`${message.missed} messages were missed.`);
    $('talk').disabled = !message.listening;
    $('talk').title = message.listening ? 'Hold to talk' : 'This box cannot hear questions: type them';
    $('record').hidden = !message.recording || !message.may.includes('record');
    $('library').hidden = !message.recording;
    if (message.recording) replay.list().then(rows => { $('library').hidden = rows === null; });
    if (message.may.includes('ask')) link.say('watches');
    if (message.may.includes('manage')) tellDevice ??= watchDevice((type, data) => link.say(type, data));  // once; then when it changes
  },
  camera({on, stalled = false, reason}) {
    $('camera').hidden = !on;
    $('camera').classList.toggle('stalled', stalled);
    $('camera-word').textContent = stalled ? 'No pictures' : 'Camera in use';
    if (reason) transcript.note(on ? reason : `The camera has gone: ${reason}.`);
    if (stalled && !replay.active) revive();
  },
  asked(message) {
    sound = undefined;
    $('hint').hidden = true;
    transcript.asked(message, message.point || message.box ? thumbnail(message) : null);
  },
  token: message => transcript.token(message),
  search: message => transcript.search(message),
  evidence: message => transcript.evidence(message),
  end(message) {
    for (const {start, end, track_id: track} of message.spans)
      if (track) painter.name(track, message.text.slice(start, end));
    transcript.end(message);
    panels.turn(transcript.last, sound);
  },
  speech(message) {
    if (message.first_ms !== undefined) sound = message.first_ms;
    transcript.speech(message);
    panels.turn(transcript.last, sound);
    speaking(message.duration_s);
  },
  spoken({turn}) { transcript.spoken(turn); clearTimeout(speaking.timer); hearing(''); },
  refused(message) { transcript.refused(message); },
  hearing({on}) { hearing(on ? 'listening' : ''); },
  transcript({text, final}) { hearing(final ? '' : text); },
  regions(message) {
    shown = message;
    sized(message.size);
    if (!replay.active) {
      const now = performance.now();
      panels.age(message.age_ms);
      message.at = takenAt(message, now);
      lag += .15 * (Math.min(MOST_LAG_MS, now - message.at) - lag);
      gap += .3 * (Math.min(MOST_LAG_MS, now - came) - gap);
      came = now;
    }
    panels.things(message.regions, painter.labels, choose);
    paint();
  },
  stats(message) {
    panels.stats(message);
    if (!message.fps && message.age_ms) panels.age(message.age_ms);  // it grows while nothing comes
  },
  device: message => panels.device(message),
  watches({watches}) { if (!replay.active) panels.watches(watches, id => link.say('unwatch', {id})); },
  alert({text, silent, region}) {
    transcript.alert(text, silent);
    if (region) choose(region.track_id);
  },
  recording({on, reason, id, left_s: left}) {
    if (replay.active) return;
    const known = !$('recording').hidden;
    recorded(on);
    $('keep').hidden = !on || left === undefined || left > EXPIRES_S;
    if (on && known) {
      if (!$('keep').hidden) transcript.note('The recording ends in a minute, unless you keep it.');
      return;
    }
    transcript.note(on ? 'Recording, from here on.' : `Recording ${id} has ended: ${reason}.`);
  },
  memory({on}) { if (replay.active) return; remembered(on); transcript.note(on ? 'What is seen is remembered, from here on.' : 'Nothing more is remembered.'); },
  outgoing: message => panels.outgoing(message),
  forgot({events}) {
    if (replay.active) return;
    transcript.clear(events === undefined ? 'A new conversation.' : 'A new conversation. What was asked for is forgotten.');
    painter.labels.clear();
  },
  error({reason}) { transcript.note(reason); },
  bye({reason}) { transcript.note(`The session has ended: ${reason}.`); },
};

// When the picture of these masks was taken, on the page's clock: as the box tells from our own
// sender reports, or about.
function takenAt({captured_ms: captured, age_ms: age}, now) {
  const about = now - age - NETWORK_MS, at = captured - performance.timeOrigin;
  return Math.abs(at - about) < CLOCKS_MS ? at : about;
}

function remembered(on) { $('remembering').hidden = !on; }

function recorded(on) {
  $('recording').hidden = !on;
  $('record').classList.toggle('on', on);
  $('record-word').textContent = on ? 'Stop' : 'Record';
  $('record-rest').textContent = on ? '\u00a0recording' : '';
}

link.addEventListener('message', ({detail}) => replay.active || handlers[detail.type]?.(detail));
link.addEventListener('voice', ({detail}) => { $('voice').srcObject = window.foveal.voice = detail.stream; hear(); });
link.addEventListener('view', ({detail}) => { screen = true; show(detail.stream); });
link.addEventListener('trouble', ({detail}) => transcript.note(detail.reason));
link.addEventListener('refused', ({detail}) => problem(detail.reason));
link.addEventListener('state', ({detail: {state}}) => {
  const words = {off: 'Not connected', connecting: 'Connecting…', live: 'Live', lost: 'Reconnecting…'};
  document.body.dataset.state = state;
  $('state').textContent = words[state];
  const on = state === 'live';
  $('text').disabled = $('send').disabled = !on;
  $('start').hidden = state !== 'off' && state !== 'connecting' || Boolean(media) || kind === 'screen';
  $('controls').hidden = $('panels').hidden = state === 'off';
  $('hint').hidden = !on || transcript.turns.size > 0;
  $('forget').hidden = !on;
  $('flip').hidden = kind !== 'camera';
  if (state === 'off') { $('camera').hidden = $('remembering').hidden = $('recording').hidden = $('record').hidden = $('keep').hidden = true; $('start').hidden = false; }
});

// Without leave to make a sound by itself, from the first touch on.
function hear() {
  $('voice').play().catch(error => error.name === 'NotAllowedError' && addEventListener('pointerdown', hear, {once: true}));
}

function problem(text) {
  $('problem').hidden = !text;
  $('problem').textContent = text;
  if (text && (media || kind === 'screen')) transcript.note(text);
}

// --- sources

async function useCamera() {
  if (!navigator.mediaDevices) {
    problem('Browsers give the camera only to pages from localhost or over HTTPS: start the box with --self-signed.');
    return;
  }
  kind = 'camera';
  const {listening = false} = await boxState();
  const wanted = {video: {facingMode: {ideal: facing}, width: {ideal: 960}, height: {ideal: 540}, frameRate: {ideal: 15}},
    audio: listening && MICROPHONE};
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia(wanted).catch(error => {
      if (!wanted.audio) throw error;
      return navigator.mediaDevices.getUserMedia({...wanted, audio: false});  // without a microphone
    });
  } catch (error) {
    problem(error.name === 'NotAllowedError' ? 'The camera was not allowed. Allow it for this page and try again.' : `The camera cannot be used: ${error.message}`);
    return;
  }
  for (const track of stream.getAudioTracks()) track.enabled = false;  // until the button is held
  attend(stream.getVideoTracks()[0]);
  await show(stream);
  await begin(stream);
}

async function useFile(file) {
  kind = 'file';
  video.srcObject = null;
  video.src = URL.createObjectURL(file);
  video.loop = true;
  await video.play();
  const canvas = document.createElement('canvas');
  const scale = Math.min(1, 960 / video.videoWidth);
  canvas.width = Math.round(video.videoWidth * scale) & ~1;
  canvas.height = Math.round(video.videoHeight * scale) & ~1;
  const context = canvas.getContext('2d');
  clearInterval(useFile.timer);
  useFile.timer = setInterval(() => {
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    if (media) pictures.push(video, performance.now(), lag);
  }, PICTURE_MS);
  await begin(canvas.captureStream(15));
}

async function show(stream) {
  video.removeAttribute('src');
  video.srcObject = stream;
  await video.play().catch(() => {});
}

const boxState = () => fetch('ready').then(answer => answer.json()).catch(() => ({}));

// A second screen, or one for a camera that the box itself reads.
async function look() {
  if (!link.token && (await boxState()).token_needed) return $('login').showModal();
  await link.watch(watch).catch(refused);
}

function refused(error) {
  if (error.status === 401 || error.status === 403) $('login').showModal();
  problem(error.message);
}

async function begin(stream) {
  media = stream;
  problem('');
  try {
    await link.start(stream);
    wake = await navigator.wakeLock?.request('screen').catch(() => null);
  } catch (error) {
    await finish();
    refused(error);
  }
}

async function finish() {
  clearInterval(useFile.timer);
  for (const track of media?.getTracks() ?? []) track.stop();
  media = null;
  screen = false;
  video.pause();
  video.srcObject = null;
  video.removeAttribute('src');
  shown = null;
  pictures.clear();
  painter.clear();
  $('picture').getContext('2d').clearRect(0, 0, $('picture').width, $('picture').height);
  wake?.release();
  await link.stop();
}

// --- drawing

function resize() {
  const ratio = Math.min(devicePixelRatio || 1, 2), {clientWidth, clientHeight} = $('view');
  for (const canvas of [$('picture'), $('masks')]) {
    const width = Math.round(clientWidth * ratio), height = Math.round(clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  }
  paint();
}

// The picture's size; a phone's view takes its shape.
function sized(next) {
  if (next[0] === size[0] && next[1] === size[1]) return;
  size = next;
  $('view').style.setProperty('--ratio', size[1] / size[0]);
}

const place = () => fit(size, $('masks').width, $('masks').height);

// Masks are painted with the next picture, however many came meanwhile.
let stale = true;
function paint() {
  stale = true;
}

function repaint() {
  stale = false;
  const {offsetLeft, offsetTop, offsetWidth, offsetHeight} = $('hud-age').parentElement, ratio = $('masks').width / $('masks').clientWidth;
  painter.kept = [{x: offsetLeft * ratio, y: offsetTop * ratio, wide: offsetWidth * ratio, high: offsetHeight * ratio}];
  if (shown && !screen && (replay.active || paired)) painter.paint(shown, place());
  else painter.clear();
}

// Every picture of the camera, with the time at which it was taken.
function take(at) {
  if (media && kind === 'camera' && !replay.active && video.videoWidth) pictures.push(video, at, lag);
}
const eachPicture = 'requestVideoFrameCallback' in video;
function watchPictures() {
  video.requestVideoFrameCallback((now, {captureTime}) => {
    take(captureTime ?? now);
    watchPictures();
  });
}
if (eachPicture) watchPictures();

// What is shown: the picture that the masks were made from; the newest where there are no masks, or
// none have come for a while.
let paired = false, pictured = null;
function choosePicture(now) {
  if (replay.active || screen) return video;
  const fits = Boolean(shown?.regions.some(one => one.mask)) && now - came < Math.max(FREE_MS, 3 * gap);
  if (fits !== paired) stale = true;
  paired = fits;
  return paired ? pictures.at(shown.at) : pictures.newest;
}

let drawn = 0;
function draw(now) {
  requestAnimationFrame(draw);
  if (now - drawn < PICTURE_MS - 4) return;
  drawn = now;
  if (replay.active) {
    replay.tick();
    $('seek').value = 1000 * video.currentTime / (video.duration || 1);
    $('clock').textContent = `${Math.floor(video.currentTime / 60)}:${String(Math.floor(video.currentTime % 60)).padStart(2, '0')}`;
  }
  if (!eachPicture) take(now);
  pictured = choosePicture(now);
  if (stale) repaint();
  if (!pictured || !video.videoWidth || !(media || screen || replay.active)) return;
  if (!shown) sized([video.videoHeight, video.videoWidth]);
  const canvas = $('picture'), context = canvas.getContext('2d'), {x, y, width, height} = place();
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(pictured, x, y, width, height);
}

function choose(track) {
  painter.chosen = track;
  paint();
}

// A square of the picture around what was pointed at.
function thumbnail({point, box}) {
  const canvas = make('canvas'), from = pictured;
  canvas.width = canvas.height = 88;
  if (!from) return canvas;
  const [wide, high] = from === video ? [video.videoWidth, video.videoHeight] : [from.width, from.height];
  const [cx, cy] = point || [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  const side = box ? Math.max((box[2] - box[0]) * wide, (box[3] - box[1]) * high) : .34 * Math.min(wide, high);
  canvas.getContext('2d').drawImage(from, cx * wide - side / 2, cy * high - side / 2, side, side, 0, 0, 88, 88);
  return canvas;
}

// --- asking

function ask(text) {
  if (!text.trim() || !link.say('ask', {text: text.trim(), ...aim})) return;
  setAim(null);
  $('hint').hidden = true;
}

function setAim(value) {
  aim = value;
  $('aim').hidden = !value;
}

$('ask').onsubmit = event => {
  event.preventDefault();
  ask($('text').value);
  $('text').value = '';
};
$('aim').querySelector('button').onclick = () => setAim(null);
for (const button of document.querySelectorAll('[data-ask]')) button.onclick = () => ask(button.dataset.ask);

let down = null;
function share(event) {
  const ratio = $('masks').width / $('masks').clientWidth, {x, y, width, height} = place();
  const box = $('masks').getBoundingClientRect();
  const at = [((event.clientX - box.left) * ratio - x) / width, ((event.clientY - box.top) * ratio - y) / height];
  return at.every(value => value >= 0 && value <= 1) ? at.map(value => Math.round(1e4 * value) / 1e4) : null;
}
$('masks').onpointerdown = event => { down = share(event); };
$('masks').onpointerup = event => {
  const up = share(event);
  if (!down || !up || document.body.dataset.state !== 'live' || replay.active) return;
  const [x0, x1] = [down[0], up[0]].sort((a, b) => a - b), [y0, y1] = [down[1], up[1]].sort((a, b) => a - b);
  setAim(x1 - x0 > DRAG && y1 - y0 > DRAG ? {box: [x0, y0, x1, y1]} : {point: down});
  if ($('text').value.trim()) $('text').focus();
  else ask('What is this?');
};

// --- speech

const MICROPHONE = {echoCancellation: true, noiseSuppression: true, autoGainControl: true};
let talking = false, mouth = null;
async function talk(on) {
  if (on === talking || $('talk').disabled) return;
  talking = on;
  $('talk').classList.toggle('on', on);
  if (kind === 'screen') {
    if (on && !(await openMouth())) return talk(false);
    if (on !== talking || !mouth) return;  // released before the microphone was there
  }
  for (const track of (mouth ?? media)?.getAudioTracks() ?? []) track.enabled = on;
  link.say('talk', {on});
  hearing(on ? 'listening' : '');
}

// A screen without a camera asks for its microphone when it is first used.
let opening = null;
async function openMouth() {
  opening ??= (async () => {
    if (!navigator.mediaDevices) throw new Error('browsers give the microphone only to pages from localhost or over HTTPS');
    const stream = await navigator.mediaDevices.getUserMedia({audio: MICROPHONE});
    for (const track of stream.getAudioTracks()) track.enabled = false;
    await link.openMouth(stream).catch(error => { closeMouth(stream); throw error; });
    mouth = stream;
  })();
  try {
    await opening;
    return true;
  } catch (error) {
    opening = null;
    transcript.note(error.name === 'NotAllowedError' ? 'The microphone was not allowed: type the question.' : `The microphone cannot be used: ${error.message}`);
    return false;
  }
}
const closeMouth = stream => { for (const track of stream?.getTracks() ?? []) track.stop(); };
link.addEventListener('mute', () => {
  closeMouth(mouth);
  mouth = opening = null;
  if (kind === 'screen') talk(false);
});
$('talk').onpointerdown = event => { $('talk').setPointerCapture(event.pointerId); talk(true); };
$('talk').onpointerup = $('talk').onpointercancel = () => talk(false);
$('talk').oncontextmenu = event => event.preventDefault();
addEventListener('keydown', event => { if (event.code === 'Space' && !event.repeat && event.target === document.body) { event.preventDefault(); talk(true); } });
addEventListener('keyup', event => { if (event.code === 'Space') talk(false); });
$('quiet').onclick = () => { link.say('stop'); hearing(''); };

let speakingUntil = 0;
function speaking(seconds) {
  speakingUntil = Math.max(performance.now(), speakingUntil) + 1000 * seconds;
  hearing('speaking');
  clearTimeout(speaking.timer);
  speaking.timer = setTimeout(() => hearing(''), speakingUntil - performance.now() + 2000);
}

function hearing(text) {
  $('hearing').hidden = !text;
  $('hearing').querySelector('span').textContent = text;
}

// --- memory

$('remembering').onclick = () => $('memory').showModal();
for (const [name, type, members] of [['forget-minutes', 'forget', {last_s: 300}], ['forget-all', 'forget', {last_s: 0}], ['remember-not', 'remember', {on: false}]])
  $(name).onclick = () => { link.say(type, members); $('memory').close(); };

// --- recordings

$('record').onclick = () => link.say('record', {on: !$('record').classList.contains('on')});
$('keep').onclick = () => link.say('record', {on: true, keep: true});
$('forget').onclick = () => link.say('forget');

$('library').onclick = async () => {
  const rows = await replay.list() ?? [];
  $('recordings-list').replaceChildren(...rows.map(row => {
    const item = make('li'), words = make('span', '', new Date(row.id.replace(/(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d).*/, '$1-$2-$3T$4:$5:$6Z')).toLocaleString());
    words.append(make('small', '', `${row.seconds.toFixed(0)} s · ${row.questions} questions · ended: ${row.ended}`));
    const play = make('button', 'ghost', 'Play'), remove = make('button', 'ghost', 'Delete');
    play.onclick = () => { $('recordings').close(); playBack(row.id); };
    remove.onclick = async () => { await replay.remove(row.id); item.remove(); };
    item.append(words, play, remove);
    return item;
  }));
  if (!rows.length) $('recordings-list').append(make('li', '', 'None yet.'));
  $('recordings').showModal();
};

async function playBack(id) {
  if (media || link.open) await finish();
  try {
    await replay.open(id);
  } catch (error) {
    problem(error.message);
    return;
  }
  $('start').hidden = true;
  $('player').hidden = false;
  document.body.dataset.state = 'replay';
  $('state').textContent = 'Replay';
}
$('play').onclick = () => { video.paused ? video.play() : video.pause(); $('play').textContent = video.paused ? 'Play' : 'Pause'; };
$('seek').oninput = () => { video.currentTime = $('seek').value / 1000 * video.duration; };
$('leave').onclick = () => {
  replay.close();
  $('player').hidden = true;
  transcript.clear();
  finish();
};

// --- the rest

$('use-camera').onclick = useCamera;
$('use-file').onclick = () => $('file').click();
$('file').onchange = () => $('file').files[0] && useFile($('file').files[0]);
$('stop').onclick = finish;
const oneCamera = () => navigator.mediaDevices.getUserMedia({video: {facingMode: {ideal: facing}}})
  .then(stream => stream.getVideoTracks()[0]).catch(() => null);
const turn = () => { facing = facing === 'environment' ? 'user' : 'environment'; };
$('flip').onclick = () => renewTrack(async () => {
  turn();
  const track = await oneCamera();
  if (track) return track;
  turn();
  transcript.note('The other camera cannot be used.');
  return oneCamera();
});

// Another track in the camera's place, under the same connection.
let renewing = false;
async function renewTrack(open) {
  if (kind !== 'camera' || !media || renewing) return;
  renewing = true;
  try {
    const [old] = media.getVideoTracks();
    old.stop();  // first: most phones open one camera at a time
    const track = await open();
    if (!track) return problem('The camera cannot be used any more: stop, and start it again.');
    if (!media) return track.stop();  // the session ended meanwhile
    attend(track);
    await link.replace(track);
    media.removeTrack(old);
    media.addTrack(track);
    await show(media);
  } finally {
    renewing = false;
  }
}

// A camera that stopped is opened again: unplugged, taken by another program, let go of by a phone
// that slept, or silent although it runs.
function revive() {
  if (document.hidden) return;  // no phone gives it now; it is looked for when the page is seen again
  if (kind === 'file') video.play().catch(() => {});
  else renewTrack(oneCamera);
}
function attend(track) {
  track.onended = () => {
    if (!media?.getVideoTracks().includes(track)) return;
    transcript.note('The camera has stopped; it is opened again.');
    revive();
  };
}
document.addEventListener('visibilitychange', async () => {
  if (document.hidden || !media) return;
  wake = await navigator.wakeLock?.request('screen').catch(() => null);
  const [track] = media.getVideoTracks();
  if (track?.readyState === 'ended' || track?.muted) revive();
  else video.play().catch(() => {});
});
$('hud-age').parentElement.onclick = () => document.body.toggleAttribute('data-details');
$('login-form').onsubmit = () => {
  sessionStorage.setItem('foveal.token', $('token').value.trim());
  link.token = $('token').value.trim();
  $('token').value = '';
  if (kind === 'screen') look();
};
addEventListener('pagehide', () => { if (media) for (const track of media.getTracks()) track.stop(); });
new ResizeObserver(resize).observe($('view'));
requestAnimationFrame(draw);
resize();

const earlier = link.recall();
if (watch) {
  kind = 'screen';
  look();
} else if (earlier) transcript.note('Start the camera again to go on with the conversation.');
