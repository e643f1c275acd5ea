// Masks on the picture: COCO run-length codes -> colour, outline and label on a canvas.

// As in annotated videos, reports and the view of a second screen (foveal/output/annotate.py).
const COLOURS = ['#ff6348', '#2eb8ff', '#5ed654', '#ffbe1e', '#ba68ff', '#26d0b2',
  '#ff5ca8', '#7a8aff', '#c6d634', '#ff8c28', '#5aa078', '#d09678'];

export const colourOf = track => COLOURS[track % COLOURS.length];

// Runs go column by column and begin with background; returns [height * width] of 0 and 1, row by row.
export function decode({size: [height, width], counts}) {
  const mask = new Uint8Array(height * width);
  let at = 0, inside = 0;
  for (const run of counts) {
    if (inside) for (let i = at; i < at + run; i++) mask[(i % height) * width + Math.floor(i / height)] = 1;
    at += run;
    inside ^= 1;
  }
  return mask;
}

// The outlines of a mask as closed rings of [x, y], in mask pixels, with the mask on their right.
export function trace({size: [height, width], counts}) {
  const mask = decode({size: [height, width], counts}), next = new Map(), step = width + 1;
  const on = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x];
  const edge = (x0, y0, x1, y1) => {
    const from = y0 * step + x0, to = y1 * step + x1, known = next.get(from);
    known ? known.push(to) : next.set(from, [to]);
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!mask[y * width + x]) continue;
      if (!on(x, y - 1)) edge(x, y, x + 1, y);
      if (!on(x + 1, y)) edge(x + 1, y, x + 1, y + 1);
      if (!on(x, y + 1)) edge(x + 1, y + 1, x, y + 1);
      if (!on(x - 1, y)) edge(x, y + 1, x, y);
    }
  }
  const rings = [];
  for (const [start, ends] of next) {
    while (ends.length) {
      const ring = [];
      let at = start;
      do {
        const to = next.get(at).pop();
        ring.push([(at % step + to % step) / 2, (Math.floor(at / step) + Math.floor(to / step)) / 2]);
        at = to;
      } while (at !== start);
      rings.push(ring);
    }
  }
  return rings;
}

// A smooth path through the rings, stretched over the picture.
function pathOf({size: [height, width], counts}, place) {
  const path = new Path2D(), sx = place.width / width, sy = place.height / height;
  const at = ([x, y]) => [place.x + x * sx, place.y + y * sy];
  for (const ring of trace({size: [height, width], counts})) {
    const points = ring.filter((_, i) => i % 2 === 0).map(at);  // every other: stairs become slopes
    if (points.length < 3) continue;
    const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    path.moveTo(...middle(points[points.length - 1], points[0]));
    points.forEach((point, i) => path.quadraticCurveTo(...point, ...middle(point, points[(i + 1) % points.length])));
    path.closePath();
  }
  return path;
}

// Where a picture of `size` [height, width] lies in a box, whole and centred.
export function fit([height, width], boxWidth, boxHeight) {
  const scale = Math.min(boxWidth / width, boxHeight / height);
  return {x: (boxWidth - width * scale) / 2, y: (boxHeight - height * scale) / 2,
    width: width * scale, height: height * scale, scale};
}

export class MaskPainter {
  constructor(canvas) {
    this.canvas = canvas;
    this.labels = new Map();  // track id -> what an answer called it
    this.chosen = null;
    this.kept = [];           // {x, y, wide, high} in canvas pixels that no label may cover
  }

  // What an answer calls a thing, unless that says nothing.
  name(track, words) {
    const name = words.replace(/^(an?|the)\s+/i, '');
    if (!/^(thing|it|this|that)$/i.test(name)) this.labels.set(track, name);
  }

  clear() {
    this.canvas.getContext('2d').clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  // `place`: where the picture lies on this canvas, in its pixels.
  paint({size, regions}, place) {
    const context = this.canvas.getContext('2d');
    this.clear();
    for (const region of regions) if (region.mask) this.#region(context, region, place);
    const taken = [...this.kept];  // labels keep clear of each other
    for (const region of regions) if (region.box) taken.push(this.#label(context, region, size, place, taken));
  }

  #region(context, region, place) {
    const chosen = this.chosen === region.track_id, path = pathOf(region.mask, place);
    context.fillStyle = context.strokeStyle = colourOf(region.track_id);
    context.lineWidth = 2 * this.canvas.width / (this.canvas.clientWidth || this.canvas.width) * (chosen ? 1.6 : 1);
    context.lineJoin = 'round';
    context.globalAlpha = chosen ? .5 : .28;
    context.fill(path, 'evenodd');
    context.globalAlpha = 1;
    context.stroke(path);
  }

  #label(context, region, [, width], place, taken) {
    const scale = place.width / width, name = this.labels.get(region.track_id) || `${region.track_id}`;
    const pixels = 12.5 * this.canvas.width / (this.canvas.clientWidth || this.canvas.width);
    context.font = `600 ${pixels}px system-ui, sans-serif`;
    const pad = pixels * .55, wide = context.measureText(name).width + 2 * pad, high = pixels * 1.65;
    const left = place.x + (region.box[0] + region.box[2]) / 2 * scale - wide / 2;
    const x = Math.min(Math.max(left, place.x + 4), place.x + place.width - wide - 4);
    let y = Math.max(place.y + region.box[1] * scale - high - 6, place.y + 4);
    const crowded = () => taken.find(other => x < other.x + other.wide + 3 && other.x < x + wide + 3 && y < other.y + other.high + 3 && other.y < y + high + 3);
    for (let tries = 0, other; tries < 4 && (other = crowded()); tries++) y = other.y - high - 3 > place.y ? other.y - high - 3 : other.y + other.high + 3;
    context.fillStyle = '#05070ad0';
    context.beginPath();
    context.roundRect(x, y, wide, high, high / 2);
    context.fill();
    context.fillStyle = colourOf(region.track_id);
    context.fillText(name, x + pad, y + high * .68);
    return {x, y, wide, high};
  }
}

// The latest pictures with the time at which each was taken, so that masks are shown on the very
// picture that they were made from. Bounded: LENGTH pictures of PIXELS are 33 MB.
const LENGTH = 24, PIXELS = 345_000, WIDEST = 960;

export class Pictures {
  constructor() {
    this.ring = Array.from({length: LENGTH}, () => ({canvas: document.createElement('canvas'), at: -1}));
    this.clear();
  }

  clear() {
    this.next = 0;
    this.last = null;
    for (const slot of this.ring) slot.at = -1;
  }

  // `reach`: ms that the ring must go back; when pictures come faster than it can hold, some are left out.
  push(video, at, reach) {
    if (this.last && at - this.last.at < 1.5 * reach / LENGTH) return;
    const slot = this.last = this.ring[this.next++ % LENGTH], {videoWidth: wide, videoHeight: high} = video;
    const scale = Math.min(1, WIDEST / wide, Math.sqrt(PIXELS / (wide * high)));
    const width = Math.round(wide * scale), height = Math.round(high * scale);
    if (slot.canvas.width !== width || slot.canvas.height !== height) Object.assign(slot.canvas, {width, height});
    slot.canvas.getContext('2d').drawImage(video, 0, 0, width, height);
    slot.at = at;
  }

  // The one that was taken nearest to a time.
  at(time) {
    let best = null;
    for (const slot of this.ring)
      if (slot.at >= 0 && (!best || Math.abs(slot.at - time) < Math.abs(best.at - time))) best = slot;
    return best && best.canvas;
  }

  get newest() {
    return this.last && this.last.canvas;
  }
}
