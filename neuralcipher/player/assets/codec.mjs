// The codec in WebAssembly (tools/player/native): its memory, its tables, and calls with typed arrays.
import { fromBase64 } from "./bytes.mjs";

const HIDDEN_FEATURES = 127; // largest feature
const LOGIT_LIMIT = 2047;

// A heap in two parts: `keep` gives what stays until `release`, `scratch` what the next `clear` gives up.
export class Codec {
  static async create(module) {
    const { exports } = await WebAssembly.instantiate(module, {});
    return new Codec(exports);
  }

  constructor(exports) {
    this.call = exports;
    this.memory = exports.memory;
    this.bottom = this.top = exports.heap_base();
    new Uint16Array(this.memory.buffer, exports.probability_table(), 4095).set(probabilityTable());
    new Uint8Array(this.memory.buffer, exports.logarithm_table(), 1024).set(logarithmTable());
    new Int32Array(this.memory.buffer, exports.geometric_table(), 33 * 15).set(runTable());
    new Float32Array(this.memory.buffer, exports.cosines(), 64).set(cosines());
  }

  grow(end) {
    const missing = end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 65_536) + 16);
  }

  keep(bytes) {
    const at = Math.ceil(this.bottom / 64) * 64;
    this.bottom = this.top = at + bytes;
    this.grow(this.top);
    return at;
  }

  // Give up everything that was kept since `bottom` had this value.
  release(bottom) {
    this.bottom = this.top = bottom;
  }

  clear() {
    this.top = this.bottom;
  }

  scratch(bytes) {
    const at = Math.ceil(this.top / 64) * 64;
    this.top = at + bytes;
    this.grow(this.top);
    return at;
  }

  // A view, good until something grows the memory.
  view(Type, at, length) {
    return new Type(this.memory.buffer, at, length);
  }

  put(values, at = this.scratch(values.byteLength)) {
    this.view(values.constructor, at, values.length).set(values);
    return at;
  }

  putKept(values) {
    return this.put(values, this.keep(values.byteLength));
  }
}

let compiled = null;

// base64: codec.wasm.
export function compileCodec(base64) {
  compiled ??= WebAssembly.compile(fromBase64(base64));
  return compiled;
}

// neuralcipher/coding/bits.py, probability_table: exact integers of any size.
function probabilityTable() {
  const bits = 60n;
  const one = 1n << bits;
  let ratio = one;
  let term = one;
  for (let k = 1n; k < 12n; k++) {
    term /= 256n * k;
    ratio += term;
  }
  const upper = [];
  let power = one;
  for (let i = 0; i <= LOGIT_LIMIT; i++) {
    upper.push(Math.min(65_536 - 24, Number((65_536n * power) / (power + one))));
    power = (power * ratio) >> bits;
  }
  return [...upper.slice(1).reverse().map((value) => 65_536 - value), ...upper];
}

const logit = (table, value) => table[Math.max(-LOGIT_LIMIT, Math.min(LOGIT_LIMIT, value)) + LOGIT_LIMIT];

function logarithmTable() {
  return Array.from({ length: 1024 }, (_, x) => Math.min(127, (BigInt(1 + x) ** 16n).toString(2).length - 1));
}

// neuralcipher/flows/latent/sizes.py: counts of geometric laws. Products stay below 2^47, where numbers are exact.
function runTable() {
  const table = probabilityTable();
  const rows = [];
  for (let value = -512; value <= 512; value += 32) {
    const more = logit(table, value);
    let left = 2 ** 30;
    for (let run = 0; run < 14; run++) {
      rows.push(Math.max(1, Math.floor((left * (65_536 - more)) / 65_536)));
      left = Math.floor((left * more) / 65_536);
    }
    rows.push(Math.max(1, left));
  }
  return rows;
}

function cosines() {
  const rows = [];
  for (let n = 0; n < 8; n++) {
    for (let x = 0; x < 8; x++) rows.push(Math.cos((Math.PI * (x + 0.5) * n) / 8) * (n ? 0.5 : Math.SQRT1_2 / 2));
  }
  return rows;
}

// [features, hidden, rows, outputs] of the skip network, and of the flags and levels of each band: model.py.
const BAND_SIZES = [1, 2, 2, 3, 4, 4, 5, 13, 14, 15, 21, 108];
const SIZES = [[14, 12, 1, 1], ...BAND_SIZES.flatMap((size) => [[20, 16, 1, 1], [20, 24, size, 3]])];
export const TABLES = { fields: [84, 24], modes: [100, 4], quarters: [8, 4], splits: [30, 2] };

// Put the entropy model's networks into a codec, and return its tables of counts. prior: latent_prior.bin.
export function loadPrior(codec, prior) {
  const words = new DataView(prior.buffer, prior.byteOffset, prior.byteLength);
  let offset = 0;
  const integers = (count) => Int16Array.from({ length: count }, () => words.getInt16((offset += 2) - 2, true));
  const pointers = [];
  for (const [features, hidden, rows, outputs] of SIZES) {
    const [first, firstBias] = [integers(features * hidden), integers(rows * hidden)];
    const [second, secondBias] = [integers(hidden * outputs), integers(rows * outputs)];
    checkSums(first, firstBias, second, secondBias, hidden, outputs);
    pointers.push(codec.putKept(pairs(first, features, hidden)));
    pointers.push(codec.putKept(Int32Array.from(firstBias, (bias) => bias * 64)));
    pointers.push(codec.putKept(columns(second, hidden, outputs)));
    pointers.push(codec.putKept(Int32Array.from(secondBias, (bias) => bias * 256)));
  }
  codec.call.residual_setup(codec.putKept(Int32Array.from(pointers)));
  const tables = {};
  for (const [name, [rows, columnCount]] of Object.entries(TABLES)) {
    tables[name] = prior.slice(offset, (offset += rows * columnCount));
  }
  return tables;
}

// (pairs of features, hidden, 2): what a product of pairs of 16-bit integers takes.
function pairs(weights, features, hidden) {
  const packed = new Int16Array(features * hidden);
  for (let f = 0; f < features; f++) {
    for (let h = 0; h < hidden; h++) packed[((f >> 1) * hidden + h) * 2 + (f & 1)] = weights[f * hidden + h];
  }
  return packed;
}

function columns(weights, hidden, outputs) {
  const wide = Math.ceil(hidden / 8) * 8;
  const packed = new Int16Array(wide * outputs);
  for (let h = 0; h < hidden; h++) {
    for (let o = 0; o < outputs; o++) packed[o * wide + h] = weights[h * outputs + o];
  }
  return packed;
}

// Sums must fit into 32 bits whatever the features are; another prior than the one that ships may not.
function checkSums(first, firstBias, second, secondBias, hidden, outputs) {
  const worst = (weights, biases, width, input, scale) => {
    let most = 0;
    for (let column = 0; column < width; column++) {
      let sum = 0;
      for (let i = column; i < weights.length; i += width) sum += Math.abs(weights[i]) * input;
      for (let i = column; i < biases.length; i += width) most = Math.max(most, sum + Math.abs(biases[i]) * scale);
    }
    return most;
  };
  const most = Math.max(worst(first, firstBias, hidden, HIDDEN_FEATURES, 64), worst(second, secondBias, outputs, 32_767, 256));
  if (most >= 2 ** 31) throw new RangeError("the entropy model has weights too large for 32 bits");
}
