// The conversation: questions, answers with what they point at, searches, evidence, times.

import {colourOf} from './masks.js';

const PARTS = [['waited', 'waited for a frame', '#64748b'], ['look', 'looked', '#38bdf8'], ['prefill', 'read', '#818cf8'],
  ['search', 'searched', '#fbbf24'], ['write', 'wrote', '#5eead4']];
const HOW = {speech: 'spoken', other: 'from elsewhere', text: ''};

export function make(tag, className = '', text = '') {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

export const milliseconds = value => value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`;

// The parts of a turn in ms, one after the other.
export function fall(timings) {
  const {waited = 0, prefill = 0, search = 0, total = 0, turn = 0} = timings;
  return {waited, look: Math.max(0, turn - waited - total), prefill, search, write: Math.max(0, total - prefill - search)};
}

export class Transcript {
  constructor(root, empty, onChoose) {
    this.root = root;
    this.empty = empty;
    this.onChoose = onChoose;
    this.turns = new Map();
    this.last = null;  // times of the last finished turn
  }

  clear(note = '') {
    for (const element of [...this.root.children]) if (element !== this.empty) element.remove();
    this.turns.clear();
    this.empty.hidden = false;
    if (note) this.note(note);
  }

  note(text) {
    this.root.append(make('p', 'note', text));
    this.#follow();
  }

  alert(text, silent) {
    this.empty.hidden = true;
    const root = make('p', 'alert', text);
    if (silent) root.append(make('span', 'how', ` (${silent})`));
    this.root.append(root);
    this.#follow();
  }

  asked({turn, text, origin}, picture = null) {
    this.empty.hidden = true;
    const root = make('article', 'turn'), question = make('div', 'question');
    if (picture) question.append(picture);
    const words = make('div');
    words.append(make('div', '', text));
    if (HOW[origin]) words.append(make('div', 'how', HOW[origin]));
    question.append(words);
    const answer = make('div', 'answer');
    answer.append(make('span', 'cursor'));
    root.append(question, answer);
    this.root.append(root);
    this.turns.set(turn, {root, answer, text: '', tokens: [], cards: []});
    this.#follow();
  }

  #of(turn) {
    if (!this.turns.has(turn)) this.asked({turn, text: '…', origin: 'text'});
    return this.turns.get(turn);
  }

  token({turn, text, forced, spoken}) {
    const one = this.#of(turn);
    one.tokens.push({text, forced, spoken});
    if (spoken) {
      one.text += text;
      one.answer.replaceChildren(one.text.trimStart(), make('span', 'cursor'));
      this.#follow();
    }
  }

  search({turn, kind, query, refused}) {
    const one = this.#of(turn), chip = make('div', 'asking');
    chip.innerHTML = '<svg viewBox="0 0 24 24"><circle cx="11" cy="11" r="7"/><path d="M16 16l5 5"/></svg>';
    const what = {image: 'the whole picture', region: 'the thing itself', text: query.trim()}[kind];
    chip.append(make('b', '', refused ? 'search refused' : `${kind} search`), make('span', '', refused || what));
    one.root.append(chip);
    this.#follow();
  }

  evidence({turn, entries}) {
    const one = this.#of(turn);
    for (const entry of entries) {
      const card = make('article', 'card'), head = make('header');
      head.append(make('strong', '', entry.title), make('span', 'score', entry.score.toFixed(2)));
      card.append(head, make('p'), make('small', '', `${entry.source} · ${entry.id}`));
      card.onclick = () => card.classList.toggle('open');
      one.root.append(card);
      one.cards.push({id: entry.id, card});
      card.hidden = one.cards.length > 1;
    }
    if (one.cards.length > 1 && !one.more) {
      one.more = make('button', 'more');
      one.more.onclick = () => { one.cards.forEach(({card}) => { card.hidden = false; }); one.more.remove(); };
      one.root.append(one.more);
    }
    if (one.more) one.more.textContent = `${one.cards.length - 1} more`;
    this.#follow();
  }

  end(message) {
    const one = this.#of(message.turn);
    one.answer.replaceChildren(...this.#spans(message));
    if (message.cut) one.answer.append(make('div', 'cut', `cut off: ${message.cut}`));
    if (message.moment) one.answer.append(this.#moment(message.moment));
    const texts = new Map(message.searches.flatMap(search => search.evidence.map(entry => [entry.id, entry.text])));
    for (const {id, card} of one.cards) card.querySelector('p').textContent = texts.get(id) || '';
    one.timings = message.timings_ms;
    this.#waterfall(one);
    this.#trace(one, message);
    this.last = {first: this.#firstWord(message.timings_ms), whole: message.timings_ms.turn};
    this.#follow();
  }

  speech({turn, first_ms: first}) {
    const one = this.turns.get(turn);
    if (!one || first === undefined) return;
    one.sound = first;
    if (one.timings) this.#waterfall(one);
  }

  // Played to its end.
  spoken(turn) {
    this.turns.get(turn)?.root.setAttribute('data-spoken', '');
  }

  refused({turn, cause, reason}) {
    const one = this.turns.get(turn);
    if (!one || !['question', 'internal', 'stopped'].includes(cause)) return;
    one.answer.className = 'answer refused';
    one.answer.textContent = cause === 'stopped' ? `${one.answer.textContent} … (${reason})` : reason;
    this.#follow();
  }

  #firstWord({waited = 0, turn = 0, total = 0, first_token: first = 0}) {
    return turn - total + first;
  }

  // An earlier moment: no picture of it is stored, so it is shown only while the box still has it.
  #moment({text, picture}) {
    const figure = make('figure', 'moment');
    if (picture) {
      const image = make('img');
      image.src = picture;
      image.alt = text;
      figure.append(image);
    }
    figure.append(make('figcaption', '', picture ? text : `${text} (no picture of it is kept)`));
    return figure;
  }

  #spans({text, spans}) {
    const parts = [];
    let at = 0;
    for (const {start, end, track_id: track} of [...spans].sort((a, b) => a.start - b.start)) {
      if (start < at) continue;
      const span = make('span', 'span', text.slice(start, end));
      span.style.setProperty('--c', colourOf(track));
      span.onmouseenter = () => this.onChoose(track);
      span.onmouseleave = () => this.onChoose(null);
      span.onclick = () => this.onChoose(track);
      parts.push(text.slice(at, start), span);
      at = end;
    }
    return [...parts, text.slice(at)];
  }

  #waterfall(one) {
    one.fall?.remove();
    const parts = fall(one.timings), whole = Math.max(one.timings.turn || 1, one.sound || 0, 1);
    const root = one.fall = make('div', 'fall'), track = make('div', 'track'), key = make('div', 'key');
    for (const [name, label, colour] of PARTS) {
      if (parts[name] < 1) continue;
      const bar = make('i');
      bar.style.cssText = `width:${100 * parts[name] / whole}%;background:${colour}`;
      track.append(bar);
      const entry = make('span'), dot = make('i');
      dot.style.background = colour;
      entry.append(dot, `${label} ${milliseconds(parts[name])}`);
      key.append(entry);
    }
    if (one.sound) {
      const mark = make('span', 'mark');
      mark.style.left = `${100 * one.sound / whole}%`;
      mark.title = 'first sound';
      track.append(mark);
      key.append(make('span', '', `│ heard after ${milliseconds(one.sound)}`));
    }
    root.append(track, key);
    const before = one.root.querySelector('details.trace');
    before ? before.before(root) : one.root.append(root);
  }

  // The decoded sequence, token by token: what was said, what was searched, what was put in.
  #trace(one, {model}) {
    const details = make('details', 'trace'), pre = make('pre');
    details.append(make('summary', '', `${one.tokens.length} tokens · ${model}`), pre);
    let inside = false;
    for (const {text, forced, spoken} of one.tokens) {
      const mark = /^<\/?(search|information|image|region)>$/.test(text);
      const name = mark ? (/information/.test(text) ? 'info' : 'search') : forced ? 'forced' : inside ? 'inside' : spoken ? 'spoken' : 'inside';
      if (text === '<search>') inside = true;
      if (text === '</search>') inside = false;
      pre.append(make('span', `token-${name}`, text));
    }
    one.root.append(details);
  }

  #follow() {
    this.root.scrollTop = this.root.scrollHeight;
  }
}
