// Canonical msgpack: one encoding per value, and a reader that nothing in a hostile file can surprise.
// docs/format.md, section 2; neuralcipher/container/canonical.py.
import { fromUtf8, join, utf8 } from "./bytes.mjs";

export const MAX_DEPTH = 16;

// The bytes are not canonical, or are over a limit; callers name the file.
export class NotCanonical extends Error {}

const FIXED = { 0xc0: 0, 0xc2: 0, 0xc3: 0, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8 };
const BLOB = { 0xc4: 1, 0xc5: 2, 0xc6: 4, 0xd9: 1, 0xda: 2, 0xdb: 4 };
const LIST = { 0xdc: 2, 0xdd: 4 };
const MAP = { 0xde: 2, 0xdf: 4 };
const UNKNOWN = "it is not canonical msgpack";

function bigEndian(data, at, width) {
  let value = 0;
  for (let i = 0; i < width && at + i < data.length; i++) value = value * 256 + data[at + i];
  return value;
}

// Where the value at `position` ends, without its children, and how many children follow.
function step(data, position) {
  const first = data[position++];
  if (first <= 0x7f || first >= 0xe0) return [position, 0];
  if (first <= 0x9f) return [position, (first & 15) * (first < 0x90 ? 2 : 1)];
  if (first <= 0xbf) return [position + (first & 31), 0];
  if (first in FIXED) return [position + FIXED[first], 0];
  const width = BLOB[first] ?? LIST[first] ?? MAP[first];
  if (width === undefined) {
    throw new NotCanonical(`it holds a value of the type 0x${first.toString(16)}, which is not used here`);
  }
  const length = bigEndian(data, position, width);
  position += width;
  if (first in BLOB) return [position + length, 0];
  return [position, length * (first in MAP ? 2 : 1)];
}

// Walk over the encoding without building anything: bound depth, number of values and every length.
function checkShape(data, maxItems) {
  let position = 0;
  let items = 0;
  const open = [1];
  while (open.length) {
    if (open[open.length - 1] === 0) {
      open.pop();
      continue;
    }
    open[open.length - 1]--;
    if (++items > maxItems) throw new NotCanonical(`it holds more than ${maxItems} values`);
    if (position >= data.length) throw new NotCanonical("it ends too early");
    const [end, children] = step(data, position);
    position = end;
    if (position > data.length) throw new NotCanonical("it ends too early");
    if (children > data.length - position) throw new NotCanonical("a list or map is longer than the data");
    if (children) {
      if (open.length > MAX_DEPTH) throw new NotCanonical(`values are nested deeper than ${MAX_DEPTH}`);
      open.push(children);
    }
  }
  if (position !== data.length) throw new NotCanonical("bytes follow its end");
}

function need(holds) {
  if (!holds) throw new NotCanonical(UNKNOWN);
}

function before(first, second) {
  for (let i = 0; i < Math.min(first.length, second.length); i++) {
    if (first[i] !== second[i]) return first[i] < second[i];
  }
  return first.length < second.length;
}

class Decoder {
  constructor(data, ordered) {
    Object.assign(this, { data, ordered, at: 0 });
  }

  value() {
    const first = this.data[this.at++];
    if (first <= 0x7f) return first;
    if (first >= 0xe0) return first - 256;
    if (first <= 0x8f) return this.map(first & 15);
    if (first <= 0x9f) return this.list(first & 15);
    if (first <= 0xbf) return this.text(first & 31);
    if (first === 0xc0) return null;
    if (first <= 0xc3) return first === 0xc3;
    if (first >= 0xcc && first <= 0xd3) return this.integer(first);
    const width = BLOB[first] ?? LIST[first] ?? MAP[first];
    const length = bigEndian(this.data, this.at, width);
    this.at += width;
    // The shortest form: what fits into fewer bytes has no business in more.
    const short = first in BLOB ? (first >= 0xd9 ? 32 : 0) : 16;
    need(width === 1 ? length >= short : length >= (width === 2 ? (first in BLOB ? 256 : short) : 65_536));
    if (first in LIST) return this.list(length);
    if (first in MAP) return this.map(length);
    return first >= 0xd9 ? this.text(length) : this.take(length).slice();
  }

  take(length) {
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  // A number, or a BigInt beyond 2^53.
  integer(first) {
    const width = FIXED[first];
    const bytes = this.take(width);
    let value = 0n;
    for (const byte of bytes) value = (value << 8n) | BigInt(byte);
    if (first >= 0xd0) {
      value = BigInt.asIntN(8 * width, value);
      need(value < (width === 1 ? -32n : -(1n << BigInt(4 * width - 1))));
    } else {
      need(value >= (width === 1 ? 128n : 1n << BigInt(4 * width)));
    }
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  text(length) {
    try {
      return fromUtf8(this.take(length));
    } catch {
      throw new NotCanonical(UNKNOWN);
    }
  }

  list(length) {
    const items = [];
    for (let i = 0; i < length; i++) items.push(this.value());
    return items;
  }

  map(length) {
    const fields = new Map();
    let last = null;
    for (let i = 0; i < length; i++) {
      const name = this.value();
      need(typeof name === "string");
      const bytes = utf8(name);
      need(!this.ordered || last === null || before(last, bytes));
      last = bytes;
      fields.set(name, this.value());
    }
    return fields;
  }
}

// One value: null, booleans, numbers and BigInts, text, Uint8Array, arrays, and Map. Throws NotCanonical.
// ordered: whether the keys of maps must ascend, as everywhere but in the section of the sound.
export function unpack(data, maxItems, ordered = true) {
  checkShape(data, maxItems);
  return new Decoder(data, ordered).value();
}

// Whether a value of `unpack` is an integer.
export const isInteger = (value) => Number.isSafeInteger(value) || typeof value === "bigint";

// Canonical msgpack of a map, given as pairs in order, of text, small integers and bytes: all that a slot has.
export function packFields(pairs) {
  const parts = [new Uint8Array([0x80 | pairs.length])];
  for (const [name, value] of pairs) parts.push(packText(name), packValue(value));
  return join(...parts);
}

function packText(text) {
  const bytes = utf8(text);
  return join(new Uint8Array([0xa0 | bytes.length]), bytes);
}

function packValue(value) {
  if (typeof value === "string") return packText(value);
  if (value instanceof Uint8Array) return join(new Uint8Array([0xc4, value.length]), value);
  if (value < 128) return new Uint8Array([value]);
  const width = value < 256 ? 1 : value < 65_536 ? 2 : 4;
  const bytes = new Uint8Array(1 + width);
  bytes[0] = { 1: 0xcc, 2: 0xcd, 4: 0xce }[width];
  for (let i = 0; i < width; i++) bytes[width - i] = Math.floor(value / 256 ** i) & 255;
  return bytes;
}
