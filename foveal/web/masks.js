// Masks on the picture: COCO run-length codes -> colour, outline and label on a canvas.

const COLOURS = ['#5eead4', '#f9a8d4', '#fcd34d', '#93c5fd', '#c4b5fd', '#fdba74', '#86efac', '#fca5a5'];

export const colourOf = track => COLOURS[(Math.max(1, track) - 1) % COLOURS.length];

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

function stencil({size: [height, width], counts}, colour) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  const value = parseInt(colour.slice(1), 16);
  decode({size: [height, width], counts}).forEach((on, i) => {
    if (on) image.data.set([value >> 16, value >> 8 & 255, value & 255, 255], 4 * i);
  });
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
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
    this.scratch = document.createElement('canvas');
    this.labels = new Map();  // track id -> what an answer called it
    this.chosen = null;
  }

  clear() {
    this.canvas.getContext('2d').clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  // `place`: where the picture lies on this canvas, in its pixels.
  paint({size, regions}, place) {
    const context = this.canvas.getContext('2d');
    this.clear();
    for (const region of regions) if (region.mask) this.#region(context, region, place);
    for (const region of regions) if (region.box) this.#label(context, region, size, place);
  }

  #region(context, region, place) {
    const {scratch} = this, shape = stencil(region.mask, colourOf(region.track_id));
    if (scratch.width !== this.canvas.width || scratch.height !== this.canvas.height) {
      scratch.width = this.canvas.width;
      scratch.height = this.canvas.height;
    }
    const draft = scratch.getContext('2d');
    draft.globalCompositeOperation = 'source-over';
    draft.clearRect(0, 0, scratch.width, scratch.height);
    draft.imageSmoothingQuality = 'high';
    const line = Math.max(1.5, this.canvas.width / 520) * (this.chosen === region.track_id ? 1.8 : 1);
    for (let step = 0; step < 12; step++) {
      const angle = step * Math.PI / 6;
      draft.drawImage(shape, place.x + line * Math.cos(angle), place.y + line * Math.sin(angle), place.width, place.height);
    }
    draft.globalCompositeOperation = 'destination-out';
    draft.drawImage(shape, place.x, place.y, place.width, place.height);
    context.drawImage(scratch, 0, 0);
    context.globalAlpha = this.chosen === region.track_id ? .5 : .3;
    context.imageSmoothingQuality = 'high';
    context.drawImage(shape, place.x, place.y, place.width, place.height);
    context.globalAlpha = 1;
  }

  #label(context, region, [, width], place) {
    const scale = place.width / width, name = this.labels.get(region.track_id) || `${region.track_id}`;
    const pixels = Math.round(Math.max(11, this.canvas.width / 72));
    context.font = `600 ${pixels}px system-ui, sans-serif`;
    const pad = pixels * .55, wide = context.measureText(name).width + 2 * pad, high = pixels * 1.65;
    const left = place.x + (region.box[0] + region.box[2]) / 2 * scale - wide / 2;
    const x = Math.min(Math.max(left, place.x + 4), place.x + place.width - wide - 4);
    const y = Math.max(place.y + region.box[1] * scale - high - 6, place.y + 4);
    context.fillStyle = '#05070ad0';
    context.beginPath();
    context.roundRect(x, y, wide, high, high / 2);
    context.fill();
    context.fillStyle = colourOf(region.track_id);
    context.fillText(name, x + pad, y + high * .68);
  }
}

// The latest pictures, so that masks are shown on the picture they were made from.
export class PictureDelay {
  constructor(length = 45) {
    this.ring = Array.from({length}, () => ({canvas: document.createElement('canvas'), at: -1}));
    this.next = 0;
  }

  push(video, now) {
    const slot = this.ring[this.next++ % this.ring.length];
    const scale = Math.min(1, 960 / video.videoWidth);
    const width = Math.round(video.videoWidth * scale), height = Math.round(video.videoHeight * scale);
    if (slot.canvas.width !== width || slot.canvas.height !== height) Object.assign(slot.canvas, {width, height});
    slot.canvas.getContext('2d').drawImage(video, 0, 0, width, height);
    slot.at = now;
  }

  at(time) {
    let best = null;
    for (const slot of this.ring)
      if (slot.at >= 0 && (!best || Math.abs(slot.at - time) < Math.abs(best.at - time))) best = slot;
    return best && best.canvas;
  }
}
