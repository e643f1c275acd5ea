// Numbers: age of the frames, drops by cause, things in view, the device.

import {make, milliseconds} from './transcript.js';
import {colourOf} from './masks.js';

const GOOD = 150, FAIR = 400, MOST = 1000;  // ms
const SENT_SHOWN = 20;  // requests
const BARS = 72;  // frames whose age is drawn
const colour = age => age <= GOOD ? '#4ade80' : age <= FAIR ? '#fbbf24' : '#fb7185';
const CAUSES = {superseded: 'a newer one came', stale: 'too old', overflow: 'no room', 'awaiting-keyframe': 'waited for a keyframe',
  'skipped-to-keyframe': 'skipped to a keyframe', 'lost-packet': 'packet lost', 'incomplete-frame': 'incomplete', 'late-packet': 'packet late',
  'duplicate-packet': 'packet twice', 'sender-restart': 'sender restarted', 'foreign-source': 'another sender'};

export class Panels {
  constructor(find) {
    this.find = find;
    this.ages = [];
  }

  rows(list, entries) {
    list.replaceChildren(...entries.map(([name, value]) => {
      const row = make('div');
      row.append(make('dt', '', name), make('dd', '', String(value)));
      return row;
    }));
  }

  age(age) {
    this.ages.push(age);
    if (this.ages.length > BARS) this.ages.shift();
    const recent = this.ages.slice(-8), mean = recent.reduce((sum, one) => sum + one, 0) / recent.length;
    if (performance.now() - (this.drawn || 0) < 200) return;
    this.drawn = performance.now();
    const gauge = this.find('gauge');
    gauge.style.strokeDasharray = `${Math.min(100, 100 * mean / MOST)} 100`;
    gauge.style.stroke = colour(mean);
    this.find('age').textContent = milliseconds(mean);
    this.find('hud-age').hidden = false;
    this.find('hud-age').textContent = milliseconds(mean);
    this.#spark();
  }

  // The newest frame is at the right; ages above the line are too old.
  #spark() {
    const canvas = this.find('spark'), context = canvas.getContext('2d'), ratio = devicePixelRatio || 1;
    const width = canvas.width = Math.round(canvas.clientWidth * ratio), height = canvas.height = Math.round(canvas.clientHeight * ratio);
    const step = width / BARS, shown = this.ages.slice(-BARS), from = BARS - shown.length;
    context.fillStyle = '#ffffff1c';
    context.fillRect(0, height - Math.round(ratio), width, Math.round(ratio));
    context.fillRect(0, height * (1 - FAIR / MOST), width, 1);
    shown.forEach((age, i) => {
      const high = Math.max(2 * ratio, height * Math.min(1, age / MOST));
      context.fillStyle = colour(age);
      context.fillRect((from + i) * step, height - high, Math.max(1, step - ratio), high);
    });
  }

  stats({fps, age_ms: age, masklets, keyframes, dropped}) {
    this.find('hud-fps').hidden = false;
    this.find('hud-fps').textContent = `${fps} fps`;
    this.rows(this.find('frames'), [['Used a second', fps], ['Oldest in use', milliseconds(age)], ['Things followed', masklets], ['Keyframes', keyframes]]);
    const causes = Object.entries(dropped).filter(([, count]) => count).sort((a, b) => b[1] - a[1]);
    this.rows(this.find('drops'), causes.length ? causes.slice(0, 4).map(([cause, count]) => [CAUSES[cause] || cause, count.toLocaleString('en')]) : [['none so far', 0]]);
  }

  turn(last, sound) {
    const shown = value => value === undefined ? '–' : milliseconds(value);
    this.rows(this.find('turn'), [['First word', shown(last?.first)], ['First sound', shown(sound)], ['Whole answer', shown(last?.whole)]]);
  }

  things(regions, labels, onChoose) {
    const key = regions.map(region => `${region.track_id}${region.box ? '+' : '-'}${labels.get(region.track_id) || ''}`).join();
    if (key === this.thingsKey) return;
    this.thingsKey = key;
    this.find('things').replaceChildren(...regions.map(region => {
      const chip = make('button', region.box ? 'thing' : 'thing away'), dot = make('i');
      dot.style.background = colourOf(region.track_id);
      chip.append(dot, labels.get(region.track_id) || `thing ${region.track_id}`);
      chip.title = region.box ? 'in view' : 'out of view';
      chip.onpointerenter = () => onChoose(region.track_id);
      chip.onpointerleave = () => onChoose(null);
      return chip;
    }));
  }

  // What was sent to servers for this session, the newest first.
  outgoing({server, local, words, pictures, outcome, unix_ms: at}) {
    const list = this.find('outgoing'), row = make('div');
    const sizes = pictures.map(one => `picture ${one.sha256.slice(0, 8)} (${Math.ceil(one.size_bytes / 1000)} kB)`);
    row.append(make('dt', '', `${new Date(at).toLocaleTimeString('en')} ${server}${local ? ' (this box)' : ''}`), make('dd', '', outcome));
    row.title = [...sizes, words].join('\n');
    row.append(make('small', '', [sizes.length ? `${sizes.length} pictures` : '', words.slice(-120)].filter(Boolean).join(', ')));
    if (!this.sent) list.replaceChildren();
    this.sent = true;
    list.prepend(row);
    while (list.childElementCount > SENT_SHOWN) list.lastElementChild.remove();
  }

  watches(watches, onCancel) {
    this.find('watches-panel').hidden = !watches.length;
    this.find('watches').replaceChildren(...watches.map(({id, asked}) => {
      const row = make('li'), cancel = make('button', 'ghost', '×');
      cancel.setAttribute('aria-label', `Stop: ${asked}`);
      cancel.onclick = () => onCancel(id);
      row.append(make('span', '', asked), cancel);
      return row;
    }));
  }

  device({battery, charging, network, thermal}) {
    const parts = [];
    if (battery !== undefined) parts.push(`${charging ? '⚡' : ''}${Math.round(100 * battery)} %`);
    if (network) parts.push(network);
    if (thermal && thermal !== 'nominal') parts.push(thermal);
    this.find('device').textContent = parts.join(' · ');
  }
}

// What this device knows of itself, told to `say` when it changes.
export async function watchDevice(say) {
  const state = {};
  const tell = () => Object.keys(state).length && say('device', state);
  const {connection} = navigator;
  const network = () => {
    const kind = connection?.type ?? connection?.effectiveType;
    if (['wifi', 'cellular', 'ethernet', 'other', '2g', '3g', '4g', 'slow-2g'].includes(kind)) state.network = kind;
    tell();
  };
  connection?.addEventListener('change', network);
  const battery = await navigator.getBattery?.().catch(() => null);
  const power = () => {
    Object.assign(state, {battery: Math.round(100 * battery.level) / 100, charging: battery.charging});
    tell();
  };
  if (battery) {
    battery.addEventListener('levelchange', power);
    battery.addEventListener('chargingchange', power);
    Object.assign(state, {battery: Math.round(100 * battery.level) / 100, charging: battery.charging});
  }
  network();
}
