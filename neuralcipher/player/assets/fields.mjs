// Counts that learn, and integer fields coded from coarse to fine: neuralcipher/coding/bits.py, flows/latent/fields.py.

const COUNT_SCALE = 1 << 12;
const MOST = 255 * COUNT_SCALE;
const LEAST = 1 << 6;
const SPREAD_STEPS = [1, 3, 6, 12, 24];
export const SPREADS = 6;
export const SIZES = 24;
export const FIELD_LIMIT = 1 << 11;

const PLAIN_BITS = Array.from({ length: SIZES }, (_, symbol) => Math.max(0, (symbol - 2) >> 1));
const SMALLEST = PLAIN_BITS.map((bits, symbol) => (symbol < 2 ? symbol : (2 + (symbol % 2)) << bits));

// Reads what the open message of a codec holds.
export class Reader {
  constructor(codec) {
    this.codec = codec;
  }

  begin(words) {
    const { codec } = this;
    codec.clear();
    this.message = codec.put(words);
    // The message stays where it is while it is read.
    codec.bottom = codec.top;
    codec.call.ans_begin(this.message, words.length);
  }

  symbols(contexts, counts, alphabet) {
    const { codec } = this;
    codec.clear();
    const rows = codec.put(contexts);
    const table = codec.put(Int32Array.from(counts));
    const found = codec.scratch(contexts.length);
    codec.call.read_symbols(rows, contexts.length, table, alphabet, found);
    return codec.view(Uint8Array, found, contexts.length).slice();
  }

  plain(widths) {
    const { codec } = this;
    codec.clear();
    const bits = codec.put(widths);
    const found = codec.scratch(4 * widths.length);
    codec.call.read_plain(bits, widths.length, found);
    return codec.view(Int32Array, found, widths.length).slice();
  }
}

export class AdaptiveSymbols {
  // prior: (contexts, alphabet) counts, all >= 1.
  constructor(prior, alphabet) {
    this.alphabet = alphabet;
    this.counts = Float64Array.from(prior, (count) => count * COUNT_SCALE);
    this.coded = [];
  }

  // They count once `learn` is called. contexts: Int32Array.
  read(reader, contexts) {
    if (!contexts.length) return new Uint8Array(0);
    const symbols = reader.symbols(contexts, this.counts, this.alphabet);
    this.coded.push([contexts, symbols]);
    return symbols;
  }

  learn() {
    if (!this.coded.length) return;
    const { counts, alphabet } = this;
    for (const [contexts, symbols] of this.coded) {
      for (let i = 0; i < symbols.length; i++) counts[contexts[i] * alphabet + symbols[i]] += COUNT_SCALE;
    }
    this.coded = [];
    for (let row = 0; row < counts.length; row += alphabet) {
      let total = 0;
      for (let k = row; k < row + alphabet; k++) total += counts[k];
      if (total <= MOST) continue;
      for (let k = row; k < row + alphabet; k++) counts[k] = Math.max(Math.floor((counts[k] * MOST) / total), LEAST);
    }
  }
}

// Values -4095..4095 under contexts: a symbol for the size, then plain bits and a sign.
export function readIntegers(reader, sizes, contexts) {
  const symbols = sizes.read(reader, contexts);
  const at = [];
  for (let i = 0; i < symbols.length; i++) if (symbols[i]) at.push(i);
  const found = new Int32Array(symbols.length);
  if (!at.length) return found;
  const tails = reader.plain(Uint8Array.from(at, (i) => PLAIN_BITS[symbols[i]] + 1));
  at.forEach((i, j) => {
    const size = SMALLEST[symbols[i]] + (tails[j] >> 1);
    found[i] = tails[j] & 1 ? -size : size;
  });
  return found;
}

export function contextOf(kind, fine, spread) {
  let step = 0;
  while (step < 5 && SPREAD_STEPS[step] <= spread) step++;
  return (2 * kind + (fine ? 1 : 0)) * SPREADS + step;
}

const lattices = new Map();

// The passes over an h x w grid after its corner: [{at, near: four arrays of neighbours, fine}].
export function lattice(height, width) {
  const name = `${height} ${width}`;
  if (!lattices.has(name)) lattices.set(name, latticePasses(height, width));
  return lattices.get(name);
}

function latticePasses(height, width) {
  let stride = 1;
  while (stride < Math.max(height, width)) stride *= 2;
  const passes = [];
  for (; stride > 1; stride >>= 1) {
    const half = stride >> 1;
    const fine = half === 1;
    passes.push(
      passOf(half, half, stride, height, width, fine, (y, x) => {
        const down = mirror(y + half, y - half, height);
        const right = mirror(x + half, x - half, width);
        return [[y - half, x - half], [y - half, right], [down, x - half], [down, right]];
      }),
    );
    const first = passOf(half, 0, stride, height, width, fine, (y, x) => [
      [y - half, x],
      [mirror(y + half, y - half, height), x],
      ...beside(y, x, half, width),
    ]);
    const second = passOf(0, half, stride, height, width, fine, (y, x) => [
      [y, x - half],
      [y, mirror(x + half, x - half, width)],
      ...beside(x, y, half, height).map(([a, b]) => [b, a]),
    ]);
    passes.push({
      at: Int32Array.of(...first.at, ...second.at),
      near: first.near.map((near, k) => Int32Array.of(...near, ...second.near[k])),
      fine,
    });
  }
  return passes.filter((pass) => pass.at.length);
}

const mirror = (wanted, instead, size) => (wanted >= 0 && wanted < size ? wanted : instead);

// Left and right neighbours, which are centres; where the grid is too narrow for one, the one above.
function beside(y, x, half, width) {
  const left = mirror(x - half, x + half, width);
  const right = mirror(x + half, x - half, width);
  const none = left < 0 || left >= width || right < 0 || right >= width;
  return [left, right].map((side) => (none ? [y - half, x] : [y, side]));
}

function passOf(top, left, stride, height, width, fine, neighbours) {
  const at = [];
  const near = [[], [], [], []];
  for (let y = top; y < height; y += stride) {
    for (let x = left; x < width; x += stride) {
      at.push(y * width + x);
      neighbours(y, x).forEach(([a, b], k) => near[k].push(a * width + b));
    }
  }
  return { at: Int32Array.from(at), near: near.map((list) => Int32Array.from(list)), fine };
}
