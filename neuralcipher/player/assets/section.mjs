// The stored form of a latent flow, and which frame is coded when: neuralcipher/flows/latent/section.py, structure.py.
import { join } from "./bytes.mjs";
import { overLimit, payloadDamaged, unsupported } from "./problem.mjs";

const NOUN = "section of the latent flow";
const VERSION = 3;
const MAX_PIXELS = 1 << 27;
const MAX_BATCH_PIXELS = 1 << 26;
const MAX_MESSAGE_BYTES = 1 << 24;
const MAX_BLOCKS_PER_BYTE = 1 << 11;
const MAX_SPARE_BYTES = 1 << 20;
const MAX_GROUP = 64;
const KEY_BIT = 0x80;
const LEVELS = 6;
const DAMAGED_HINT = "the bundle is damaged: restore it from a copy";

const damaged = (what) => payloadDamaged(`the ${NOUN} ${what}`, DAMAGED_HINT);

function bounded(value, low, high) {
  if (value < low || value > high) throw overLimit(`the ${NOUN} has a field of ${value}, outside ${low}..${high}`, "");
  return value;
}

class Fields {
  constructor(data) {
    Object.assign(this, { data, at: 0 });
  }

  take(count) {
    if (count > this.data.length - this.at) throw damaged("ends too early");
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }

  integer(width, low = 0, high = Infinity) {
    return bounded(this.take(width).reduceRight((sum, byte) => sum * 256 + byte, 0), low, high);
  }

  varint(high) {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      bounded(shift, 0, 63);
      const digit = this.integer(1);
      value += (digit & 0x7f) * 2 ** shift;
      if (digit < 0x80) {
        if (shift && !digit) throw damaged("has a number that is not in its shortest form");
        return bounded(value, 0, high);
      }
    }
  }
}

export class LatentSection {
  static parse(data) {
    const fields = new Fields(data);
    const version = fields.integer(1);
    if (version !== VERSION) {
      throw unsupported(
        `the ${NOUN} has version ${version}, and this neuralcipher reads version ${VERSION}`,
        version < VERSION ? "open it with the neuralcipher that sealed it" : "install a newer neuralcipher",
      );
    }
    const found = new LatentSection();
    found.frames = fields.integer(4, 1, 1 << 16);
    found.height = fields.integer(2, 1, 1 << 14);
    found.width = fields.integer(2, 1, 1 << 14);
    bounded(found.height * found.width, 1, MAX_PIXELS);
    const count = fields.varint(Math.min(found.frames, data.length - fields.at));
    const plan = fields.take(count);
    const lengths = Array.from(plan, (byte) => byte & ~KEY_BIT);
    const valid = plan[0] === (1 | KEY_BIT) && plan.every((byte, i) => lengths[i] >= 1 && lengths[i] <= (byte & KEY_BIT ? 1 : MAX_GROUP));
    if (!valid || lengths.reduce((a, b) => a + b) !== found.frames) {
      throw damaged("has groups that do not add up to its frames");
    }
    const sizes = Array.from({ length: count + 1 }, () => fields.varint(MAX_MESSAGE_BYTES));
    found.messages = sizes.map((size) => fields.take(size));
    if (fields.at !== data.length) throw damaged(`has ${data.length - fields.at} bytes too many`);
    const longest = Math.max(...lengths);
    bounded(found.height * found.width * (longest >> 1), 0, MAX_BATCH_PIXELS);
    const blocks = Math.ceil(found.height / 8) * Math.ceil(found.width / 8);
    bounded(blocks, 1, MAX_BLOCKS_PER_BYTE * found.messages[1].length);
    found.groups = groupsOf(plan);
    found.spareBytes = Math.min(MAX_SPARE_BYTES, Math.ceil((longest * found.height * found.width) / 64) + 64);
    const most = Math.max(...sizes) + found.spareBytes;
    found.latentBytes = 8 * 16 * Math.max(8, Math.ceil(most / 128));
    return found;
  }

  // Message `number` in clear, behind bytes of the keystream that a decoder reads where it goes past its end.
  unmask(number, keystream) {
    const message = this.messages[number];
    const pad = keystream.latent(number + 1);
    const clear = message.map((byte, i) => byte ^ pad[i]);
    return { clear, spare: pad.slice(message.length, message.length + this.spareBytes) };
  }
}

// Words for `ans_begin`: the spare bytes, then the message.
export function wordsOf(clear, spare) {
  const data = join(spare.subarray(0, spare.length & ~3), clear);
  return new Uint32Array(data.slice(0, data.length & ~3).buffer);
}

// [{start, stop, key, batches}]: frames {index, level, first, second} of one batch do not refer to each other.
export function groupsOf(plan) {
  const groups = [];
  let start = 0;
  let anchors = [];
  for (const byte of plan) {
    const stop = start + (byte & ~KEY_BIT);
    const key = (byte & KEY_BIT) !== 0;
    if (key) {
      anchors = [start];
      groups.push({ start, stop, key, batches: [[{ index: start, level: 0, first: -1, second: -1 }]] });
    } else {
      groups.push({ start, stop, key, batches: batchesOf(anchors, stop - 1) });
      anchors = [anchors[anchors.length - 1], stop - 1];
    }
    start = stop;
  }
  let needed = new Set();
  for (const group of groups.toReversed()) {
    group.keep = needed;
    const references = group.batches.flat().flatMap(({ first, second }) => [first, second]);
    needed = new Set([...needed, ...references].filter((index) => index >= 0 && index < group.start));
  }
  return groups;
}

function batchesOf(anchors, anchor) {
  const last = anchors[anchors.length - 1];
  const batches = [[{ index: anchor, level: 1, first: last, second: anchors[0] }]];
  let level = 1;
  for (let gaps = [[last, anchor]]; ; ) {
    gaps = gaps.filter(([low, high]) => high - low > 1);
    if (!gaps.length) return batches;
    level = Math.min(level + 1, LEVELS - 1);
    const middles = gaps.map(([low, high]) => (low + high) >> 1);
    batches.push(gaps.map(([low, high], i) => ({ index: middles[i], level, first: low, second: high })));
    gaps = gaps.flatMap(([low, high], i) => [[low, middles[i]], [middles[i], high]]);
  }
}
