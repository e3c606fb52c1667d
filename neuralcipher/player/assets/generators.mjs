// The generators g in exact integers, and the keystream that they make: neuralcipher/generators/.
import { join, utf8 } from "./bytes.mjs";
import { overLimit, payloadDamaged, unsupported } from "./problem.mjs";
import { keystreamBytes } from "./secrets.mjs";
import { sha256, shake256 } from "./vendor.mjs";

const MAX_STATE_BYTES = 1 << 26;
const MAX_INDEX_BYTES = 1 << 29;
const PAD = 4;
const SPREAD = (2 * PAD + 1) ** 2;

// SHAKE-256 of a public seed under a label: generators/expand.py.
export function expand(seed, label, count) {
  const name = utf8(label);
  return shake256(join(new Uint8Array([name.length]), name, seed), { dkLen: count });
}

// The stable order of `count` little-endian 64-bit words: four passes over 16 bits each.
export function permutation(seed, label, count) {
  const words = new Uint16Array(expand(seed, label, 8 * count).slice().buffer);
  let order = Uint32Array.from({ length: count }, (_, i) => i);
  let next = new Uint32Array(count);
  for (let digit = 0; digit < 4; digit++) {
    const starts = new Uint32Array(65_537);
    for (let i = 0; i < count; i++) starts[words[4 * i + digit] + 1]++;
    for (let i = 0; i < 65_536; i++) starts[i + 1] += starts[i];
    for (let i = 0; i < count; i++) next[starts[words[4 * order[i] + digit]]++] = order[i];
    [order, next] = [next, order];
  }
  return order;
}

// Integers -7..7: words modulo 15. 2^32 is 1 modulo 15, so that halves of words can be added.
function smallIntegers(seed, label, count) {
  const words = new Uint32Array(expand(seed, label, 8 * count).slice().buffer);
  return Int8Array.from({ length: count }, (_, i) => (((words[2 * i] % 15) + (words[2 * i + 1] % 15)) % 15) - 7);
}

// How a half of `size` bytes is folded: feistel.py, Grid.
export function foldGrid(size) {
  const word = size % 2 ? 1 : 2;
  let channels = 8;
  while (SPREAD ** 2 * channels ** 2 < 8 * word * size && channels < 256) channels *= 2;
  const pixels = Math.ceil(size / channels);
  const root = Math.floor(Math.sqrt(pixels));
  let best = null;
  for (let height = Math.max(1, root >> 1); height <= root; height++) {
    const width = Math.ceil(pixels / height);
    const cost = (height + 2 * PAD) * (width + 2 * PAD);
    if (!best || cost < best.cost) best = { height, width, cost };
  }
  return { size, word, channels, height: best.height, width: best.width };
}

export class Feistel {
  // data: the generator's section. size: bytes of the latent. codec: of its own, since the keystream stays in it.
  constructor(data, size, codec) {
    if (data.length !== 36) {
      throw payloadDamaged(`the feistel generator section has ${data.length} bytes, not 36`, "");
    }
    const [version, rounds, hidden, counter] = data;
    if (version !== 1 || rounds < 1 || rounds > 64 || hidden < 1 || hidden > 64 || counter >= 8) {
      throw payloadDamaged("the feistel generator section is damaged", "");
    }
    if (rounds * size > MAX_INDEX_BYTES) {
      const what = `feistel with ${rounds} rounds over ${size} bytes`;
      throw overLimit(`${what} is above the limit of ${MAX_INDEX_BYTES}`, "use fewer rounds, or smaller pictures");
    }
    Object.assign(this, { size, codec, rounds });
    this.hidden = Math.ceil(hidden / 4) * 4;
    this.grid = foldGrid(size / 2);
    const seed = expand(data.subarray(4), `feistel weights ${counter}`, 32);
    this.couplings = Array.from({ length: rounds }, (_, index) => this.derive(seed, index, hidden));
    const { height, width, channels } = this.grid;
    this.halves = [codec.keep(size / 2), codec.keep(size / 2)];
    this.spread = codec.keep((height + 2 * PAD) * (width + 2 * PAD) * channels * 2 + 16);
    this.between = codec.keep((height + 6) * (width + 6) * this.hidden * 2 + 16);
  }

  derive(seed, index, hidden) {
    const { size, word, channels } = this.grid;
    const order = permutation(seed, `permutation ${index}`, size / word);
    const first = smallIntegers(seed, `first ${index}`, hidden * channels * 9);
    const second = smallIntegers(seed, `second ${index}`, channels * hidden * 9);
    return {
      gather: this.codec.putKept(this.gather(order)),
      first: this.codec.putKept(packed(first, hidden, channels, this.hidden, channels)),
      second: this.codec.putKept(packed(second, channels, hidden, channels, this.hidden)),
    };
  }

  gather(order) {
    const { height, width, channels, word } = this.grid;
    const perPixel = channels / word;
    const found = new Int32Array((height + 2 * PAD) * (width + 2 * PAD) * perPixel);
    let at = 0;
    for (let y = -PAD; y < height + PAD; y++) {
      for (let x = -PAD; x < width + PAD; x++) {
        const pixel = wrapped(y, height) * width + wrapped(x, width);
        for (let k = 0; k < perPixel; k++) found[at++] = order[(pixel * perPixel + k) % order.length];
      }
    }
    return found;
  }

  next(z) {
    const half = this.size / 2;
    this.codec.put(z.subarray(0, half), this.halves[0]);
    this.codec.put(z.subarray(half), this.halves[1]);
    const { size, word, height, width, channels } = this.grid;
    this.couplings.forEach(({ gather, first, second }, index) => {
      const [source, target] = [this.halves[index % 2], this.halves[1 - (index % 2)]];
      const sizes = [size, gather, word, height, width, channels, this.hidden];
      this.codec.call.couple(source, target, ...sizes, first, second, this.spread, this.between);
    });
    return join(...this.halves.map((at) => this.codec.view(Uint8Array, at, half)));
  }
}

const wrapped = (index, size) => ((index % size) + size) % size;

// (outputs, inputs, 9) as (9, pairs of inputs, wide outputs, 2).
function packed(weights, outputs, inputs, wideOutputs, wideInputs) {
  const found = new Int16Array(9 * wideInputs * wideOutputs);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let tap = 0; tap < 9; tap++) {
        const pair = tap * (wideInputs / 2) + (i >> 1);
        found[(pair * wideOutputs + o) * 2 + (i & 1)] = weights[(o * inputs + i) * 9 + tap];
      }
    }
  }
  return found;
}

export class ChaCha20 {
  constructor(data, size) {
    if (data.length !== 33 || data[0] !== 1) throw payloadDamaged("the chacha20 generator section is damaged", "");
    Object.assign(this, { size, seed: data.slice(1) });
  }

  next(z) {
    const key = sha256(join(utf8("neuralcipher chacha20 generator 1"), this.seed, z));
    return keystreamBytes(key, this.size);
  }
}

// Whether the player has this generator; the command has them all.
export const knownGenerators = ["feistel", "chacha20"];

export function makeGenerator(name, data, size, codec) {
  if (size > MAX_STATE_BYTES) {
    throw overLimit(`a latent of ${size} bytes is above the limit of ${MAX_STATE_BYTES} bytes`, "");
  }
  if (name === "feistel") return new Feistel(data, size, codec);
  if (name === "chacha20") return new ChaCha20(data, size);
  throw unsupported(`the player has no generator called ${name}`, "open the bundle with ncipher open");
}

// Z = z_1, z_2, ...: asking for an earlier latent starts again from z_0.
export class Keystream {
  constructor(generator, z0) {
    Object.assign(this, { generator, z0, z: z0, index: 0 });
  }

  latent(index) {
    if (index < this.index) {
      this.index = 0;
      this.z = this.z0;
    }
    for (; this.index < index; this.index++) this.z = this.generator.next(this.z);
    return this.z;
  }
}
