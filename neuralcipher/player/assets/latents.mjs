// The head and the groups of a segment out of their messages: neuralcipher/flows/latent/head.py, flow.py, residual.py.
import { TABLES } from "./codec.mjs";
import { AdaptiveSymbols, contextOf, lattice, readIntegers, Reader, SIZES } from "./fields.mjs";
import { BANDS, History, noMotion, readMotion } from "./motion.mjs";
import { wordsOf } from "./section.mjs";

const COLOUR_BYTES = 24;
const PREFIX_BYTES = 26;
const LARGEST = 16_391;
const PIECE = 64;
const REPAIR_SHAPES = [6 * 16, 16, 16 * 32 * 9, 16 * 16 * 9, 16, 16 * 16 * 9, 16];

// float16 to numbers.
function fromHalves(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
    const half = view.getUint16(2 * i, true);
    const [exponent, fraction] = [(half >> 10) & 31, half & 1023];
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    return half & 0x8000 ? -size : size;
  });
}

// Of a segment: colour (12 integers of 2^-14), quality, and the repairing network's parameters or null.
// shipped: latent_network.bin.
export function readHead(section, keystream, codec, shipped) {
  const { clear, spare } = section.unmask(0, keystream);
  const prefix = new Uint8Array(PREFIX_BYTES);
  prefix.set(clear.subarray(0, PREFIX_BYTES));
  const view = new DataView(prefix.buffer);
  const colour = Array.from({ length: 12 }, (_, i) => view.getInt16(2 * i, true));
  const quality = prefix[COLOUR_BYTES] % 101;
  const flags = prefix[COLOUR_BYTES + 1];
  const weights = fromHalves(shipped);
  if (flags & 2) addChanges(weights, clear.subarray(PREFIX_BYTES), spare, codec);
  return { colour, quality, weights: flags & 1 ? weights : null };
}

function addChanges(weights, message, spare, codec) {
  const bottom = codec.bottom;
  const reader = new Reader(codec);
  reader.begin(wordsOf(message, spare));
  let at = 0;
  for (const count of REPAIR_SHAPES) {
    const sizes = new AdaptiveSymbols([200, 12, 6, 3, ...Array(SIZES - 4).fill(1)], SIZES);
    const step = Math.fround(0.5 * 2 ** (-reader.plain(Uint8Array.of(4))[0] / 2));
    for (let start = 0; start < count; start += PIECE) {
      const levels = readIntegers(reader, sizes, new Int32Array(Math.min(PIECE, count - start)));
      for (const level of levels) weights[at++] += Math.fround(level * step);
      sizes.learn();
    }
  }
  codec.release(bottom);
}

// Reads the groups of one segment in order.
export class LatentReader {
  // tables: of `loadPrior`.
  constructor(section, keystream, codec, tables, quality) {
    Object.assign(this, { section, keystream, codec, quality, known: [] });
    this.height = Math.ceil(section.height / 16) * 2;
    this.width = Math.ceil(section.width / 16) * 2;
    this.history = new History(this.height, this.width);
    this.reader = new Reader(codec);
    this.model = {};
    for (const [name, [, alphabet]] of Object.entries(TABLES)) {
      this.model[name] = new AdaptiveSymbols(tables[name], alphabet);
    }
  }

  // The frames of a group, by index: {frame, motion, at: Uint32Array of block * 192 + coefficient, levels}. Groups are
  // read in order, and remembered: what the model has learned cannot be taken back.
  readGroup(number) {
    this.known[number] ??= this.readNext(number);
    return new Map(this.known[number]);
  }

  readNext(number) {
    const group = this.section.groups[number];
    const { clear, spare } = this.section.unmask(number + 1, this.keystream);
    const bottom = this.codec.bottom;
    this.reader.begin(wordsOf(clear, spare));
    const found = new Map();
    for (const batch of group.batches) {
      for (const latents of this.readBatch(batch)) found.set(latents.frame.index, latents);
    }
    this.codec.release(bottom);
    this.history.forget(group.keep);
    return found;
  }

  readBatch(frames) {
    const { height, width, history, model, reader } = this;
    const key = frames[0].level === 0;
    const motions = key
      ? frames.map(() => noMotion(height, width))
      : readMotion(frames, frames.map((frame) => history.guess(frame)), height, width, model, reader);
    const around = frames.map((frame, i) => history.surroundings(frame, motions[i]));
    const { events, totals } = this.readResidual(frames, motions, around, key ? this.readMeans() : null);
    frames.forEach((frame, i) => history.remember(frame, motions[i], around[i], totals[i]));
    return frames.map((frame, i) => ({ frame, motion: motions[i], ...events[i] }));
  }

  // (3, h * w): the mean colours of a key frame, as fields.
  readMeans() {
    const { height, width, model, reader } = this;
    const means = new Int32Array(3 * height * width);
    for (let plane = 0; plane < 3; plane++) {
      const field = means.subarray(plane * height * width, (plane + 1) * height * width);
      const kind = 5 + Math.min(plane, 1);
      field[0] = readIntegers(reader, model.fields, Int32Array.of(contextOf(kind, false, 99)))[0];
      for (const { at, near, fine } of lattice(height, width)) {
        const middles = new Int32Array(at.length);
        const contexts = new Int32Array(at.length);
        for (let i = 0; i < at.length; i++) {
          const [a, b, c, d] = near.map((list) => field[list[i]]);
          const [high, low] = [Math.max(a, b, c, d), Math.min(a, b, c, d)];
          middles[i] = (a + b + c + d - high - low) >> 1;
          contexts[i] = contextOf(kind, fine, high - low);
        }
        const found = readIntegers(reader, model.fields, contexts);
        for (let i = 0; i < at.length; i++) {
          field[at[i]] = Math.min(Math.max(middles[i] + found[i], -LARGEST), LARGEST);
        }
        model.fields.learn();
      }
    }
    return means;
  }

  readResidual(frames, motions, around, means) {
    const { codec, height, width, quality } = this;
    const area = height * width;
    const [count, blocks] = [frames.length, frames.length * area];
    codec.clear();
    const whole = (Type, size, part) => {
      const at = codec.scratch(size * blocks * Type.BYTES_PER_ELEMENT);
      const view = codec.view(Type, at, size * blocks);
      frames.forEach((_, i) => view.set(part(i), i * size * area));
      return at;
    };
    const activity = whole(Int32Array, 2 * BANDS, (i) => around[i].activity);
    const fresh = whole(Int32Array, 1, (i) => around[i].fresh);
    const change = whole(Int32Array, 1, (i) => around[i].change);
    const mode = whole(Uint8Array, 1, (i) => motions[i].mode);
    const levels = codec.put(Int32Array.from(frames, (frame) => frame.level));
    const known = means ? codec.put(means) : 0;
    const totals = codec.scratch(4 * BANDS * blocks);
    const arena = codec.scratch(codec.call.residual_bytes(count, height, width));
    const grid = [count, height, width, quality];
    const found = codec.call.residual(arena, ...grid, activity, fresh, mode, change, levels, known, totals);
    const pairs = codec.view(Int32Array, codec.call.events_at(), 2 * found);
    return {
      events: splitEvents(pairs, count, area * 192),
      totals: frames.map((_, i) => codec.view(Int32Array, totals + 4 * i * BANDS * area, BANDS * area).slice()),
    };
  }
}

// Events of a batch by frame: {at, levels}.
function splitEvents(pairs, count, size) {
  const counts = new Uint32Array(count);
  for (let i = 0; i < pairs.length; i += 2) counts[Math.floor((pairs[i] >>> 0) / size)]++;
  const found = Array.from(counts, (many) => ({ at: new Uint32Array(many), levels: new Int16Array(many) }));
  counts.fill(0);
  for (let i = 0; i < pairs.length; i += 2) {
    const frame = Math.floor((pairs[i] >>> 0) / size);
    found[frame].at[counts[frame]] = (pairs[i] >>> 0) - frame * size;
    found[frame].levels[counts[frame]++] = pairs[i + 1];
  }
  return found;
}
