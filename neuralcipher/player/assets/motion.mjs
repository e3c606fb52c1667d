// The motion of blocks out of a message, and what coded frames leave behind: neuralcipher/flows/latent/motion.py,
// history.py and the parts of features.py that they use.
import { contextOf, FIELD_LIMIT, lattice, readIntegers, SPREADS } from "./fields.mjs";

const [FIRST, SECOND, BOTH, NEITHER] = [0, 1, 2, 3];
const FARTHEST = FIELD_LIMIT - 1;
const CHANGES = [1, 4, 10, 24, 60];
export const BANDS = 12;

const within = (value, limit) => (value < -limit ? -limit : value > limit ? limit : value);
const uses = (mode, reference) => mode === BOTH || mode === reference;

// The motion of a frame without references. vectors: (2 references, 2, h, w), rows first, in quarter pixels.
export function noMotion(height, width) {
  return { mode: new Uint8Array(height * width).fill(NEITHER), vectors: new Int16Array(4 * height * width) };
}

// (2, 2, h, w): the motion of a frame as its references suggest it, at constant speed; zero where they do not.
export function expectedMotion(frame, known, area) {
  const guess = new Int16Array(4 * area);
  const { first: low, second: high, index } = frame;
  if (frame.level <= 1) return guess;
  for (const [near, far, sign] of [[high, low, 1], [low, high, -1]]) {
    const { frame: coded, motion } = known.get(near);
    if (!coded.level || (coded.first !== far && coded.second !== far)) continue;
    const from = coded.first === far ? 0 : 2 * area;
    const whole = high - low;
    for (let i = 0; i < 2 * area; i++) {
      const path = motion.vectors[from + i] * sign;
      guess[i] = Math.floor((2 * path * (index - low) + whole) / (2 * whole));
      guess[2 * area + i] = -Math.floor((2 * path * (high - index) + whole) / (2 * whole));
    }
    break;
  }
  return guess;
}

// How much motion (2, 2, h, w) differs from that of the blocks beside, at most. Returns (h * w) integers.
export function discontinuity(vectors, height, width) {
  const area = height * width;
  const worst = new Int32Array(area);
  const apart = (a, b) => {
    const first = Math.abs(vectors[a] - vectors[b]) + Math.abs(vectors[area + a] - vectors[area + b]);
    const second = Math.abs(vectors[2 * area + a] - vectors[2 * area + b]) + Math.abs(vectors[3 * area + a] - vectors[3 * area + b]);
    const most = Math.max(first, second);
    if (most > worst[a]) worst[a] = most;
    if (most > worst[b]) worst[b] = most;
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if (y) apart(at, at - width);
      if (x) apart(at, at - 1);
    }
  }
  return worst;
}

const between = (a, b, c, d) => {
  const high = Math.max(a, b, c, d);
  const low = Math.min(a, b, c, d);
  return [(a + b + c + d - high - low) >> 1, high - low];
};

const median = (a, b, c) => {
  const high = Math.max(a, b, c);
  const low = Math.min(a, b, c);
  return [a + b + c - high - low, high - low];
};

// [prediction, spread] from neighbours, or from how these differ from their own guess: whichever differs less.
function steadier(near, nearGuess, guess, middle) {
  const [plain, plainSpread] = middle(...near);
  const [moved, movedSpread] = middle(...near.map((value, k) => value - nearGuess[k]));
  return movedSpread <= plainSpread ? [moved + guess, movedSpread] : [plain, plainSpread];
}

// The motions of the frames of a batch, all at once. guesses: of `expectedMotion`. model: AdaptiveSymbols by name.
export function readMotion(frames, guesses, height, width, model, reader) {
  const rows = height >> 1;
  const columns = width >> 1;
  const anchors = frames[0].level === 1;
  const squares = frames.map((frame, i) => new Squares(frame, guesses[i], rows, columns, width));
  readStep(squares, Int32Array.of(0), null, false, anchors, model, reader);
  for (const { at, near, fine } of lattice(rows, columns)) readStep(squares, at, near, fine, anchors, model, reader);
  const motions = squares.map((square) => square.spread(height, width));
  const splits = readSplits(squares, rows, columns, model, reader);
  readQuarters(motions, guesses, splits, height, width, anchors, model, reader);
  for (const name of ["fields", "quarters", "splits"]) model[name].learn();
  return motions;
}

// The motion of whole squares while it is coded: mode (n), vectors and guess (2 references, 2, n).
class Squares {
  constructor(frame, guess, rows, columns, width) {
    Object.assign(this, { frame, rows, columns, area: rows * columns });
    this.mode = new Uint8Array(this.area).fill(BOTH);
    this.vectors = new Int16Array(4 * this.area);
    this.guess = new Int16Array(4 * this.area);
    const blocks = 4 * this.area;
    for (let part = 0; part < 4; part++) {
      for (let y = 0; y < rows; y++) {
        for (let x = 0; x < columns; x++) {
          this.guess[part * this.area + y * columns + x] = guess[part * blocks + 2 * y * width + 2 * x];
        }
      }
    }
  }

  // The first vector, stretched to the distance of the second, which in anchors is near it.
  scaled(at, component) {
    const near = this.frame.index - this.frame.first;
    const far = this.frame.index - this.frame.second;
    return Math.floor((2 * this.vectors[component * this.area + at] * far + near) / (2 * near));
  }

  spread(height, width) {
    const motion = noMotion(height, width);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [to, from] = [y * width + x, (y >> 1) * this.columns + (x >> 1)];
        motion.mode[to] = this.mode[from];
        for (let part = 0; part < 4; part++) {
          motion.vectors[part * height * width + to] = this.vectors[part * this.area + from];
        }
      }
    }
    return motion;
  }
}

function modeContext(anchors, near) {
  const count = (mode) => near.reduce((sum, other) => sum + (other === mode), 0);
  const balance = within(count(SECOND) - count(FIRST), 2) + 2;
  return ((5 * (anchors ? 1 : 0) + count(BOTH)) * 2 + (count(NEITHER) ? 1 : 0)) * 5 + balance;
}

// One pass of the lattice over all frames: modes, then the vectors that they use.
function readStep(squares, at, near, fine, anchors, model, reader) {
  const count = at.length;
  const contexts = new Int32Array(squares.length * count);
  squares.forEach((square, f) => {
    for (let i = 0; i < count; i++) {
      const modes = near ? near.map((list) => square.mode[list[i]]) : [BOTH, BOTH, BOTH, BOTH];
      contexts[f * count + i] = modeContext(anchors, modes);
    }
  });
  const predictions = squares.map((square) => predictStep(square, at, near));
  const modes = model.modes.read(reader, contexts);
  squares.forEach((square, f) => at.forEach((place, i) => (square.mode[place] = modes[f * count + i])));
  // The second vector of an anchor is expected where the first points, so it waits for that.
  for (const references of anchors ? [[0], [1]] : [[0, 1]]) {
    readVectors(squares, at, fine, anchors, references, predictions, model, reader);
  }
  model.fields.learn();
  model.modes.learn();
}

// {middle: (2 references, 2, n), spread: (2 references, n)}.
function predictStep(square, at, near) {
  const count = at.length;
  const middle = new Int32Array(4 * count);
  const spread = new Int32Array(2 * count);
  for (let part = 0; part < 4; part++) {
    const base = part * square.area;
    for (let i = 0; i < count; i++) {
      const guess = square.guess[base + at[i]];
      if (!near) {
        middle[part * count + i] = guess;
        spread[(part >> 1) * count + i] += 99;
        continue;
      }
      const beside = near.map((list) => square.vectors[base + list[i]]);
      const besideGuess = near.map((list) => square.guess[base + list[i]]);
      const [found, differs] = steadier(beside, besideGuess, guess, between);
      middle[part * count + i] = found;
      spread[(part >> 1) * count + i] += differs;
    }
  }
  return { middle, spread };
}

function readVectors(squares, at, fine, anchors, references, predictions, model, reader) {
  const count = at.length;
  const contexts = [];
  const targets = [];
  squares.forEach((square, f) => {
    const { middle, spread } = predictions[f];
    for (const reference of references) {
      for (let component = 0; component < 2; component++) {
        const part = 2 * reference + component;
        for (let i = 0; i < count; i++) {
          const follows = anchors && reference;
          const start = within(follows ? square.scaled(at[i], component) : middle[part * count + i], FARTHEST);
          const place = part * square.area + at[i];
          square.vectors[place] = start;
          if (!uses(square.mode[at[i]], reference)) continue;
          contexts.push(contextOf(anchors ? 0 : 1, fine, spread[reference * count + i]) + 4 * SPREADS * reference);
          targets.push(square, place);
        }
      }
    }
  });
  const found = readIntegers(reader, model.fields, Int32Array.from(contexts));
  found.forEach((value, i) => {
    const [square, place] = [targets[2 * i], targets[2 * i + 1]];
    square.vectors[place] = within(square.vectors[place] + value, FIELD_LIMIT);
  });
}

// Which squares are split, in two passes of a chequerboard; one Uint8Array a frame.
function readSplits(squares, rows, columns, model, reader) {
  const changes = squares.map((square) =>
    discontinuity(square.vectors, rows, columns).map((change) => CHANGES.filter((step) => step <= change).length),
  );
  const splits = squares.map(() => new Uint8Array(rows * columns));
  for (let parity = 0; parity < 2; parity++) {
    const contexts = [];
    const targets = [];
    splits.forEach((split, f) => {
      for (let y = 0; y < rows; y++) {
        for (let x = (y + parity) & 1; x < columns; x += 2) {
          const at = y * columns + x;
          const left = x ? split[at - 1] : 0;
          const right = x + 1 < columns ? split[at + 1] : 0;
          const near = left + right + (y ? split[at - columns] : 0) + (y + 1 < rows ? split[at + columns] : 0);
          contexts.push(6 * (Math.min(near, 3) + parity) * parity + changes[f][at]);
          targets.push(at);
        }
      }
    });
    const found = model.splits.read(reader, Int32Array.from(contexts));
    const each = targets.length / splits.length;
    found.forEach((value, i) => (splits[Math.floor(i / each)][targets[i]] = value));
  }
  return splits;
}

// The other three blocks of split squares, in place: each between its square's first block and two beside it.
function readQuarters(motions, guesses, splits, height, width, anchors, model, reader) {
  const area = height * width;
  const places = [];
  splits.forEach((split, f) => {
    split.forEach((value, at) => {
      if (value) places.push([f, 2 * Math.floor(at / (width >> 1)), 2 * (at % (width >> 1))]);
    });
  });
  if (!places.length) return;
  const quarters = [0, 1, 2].flatMap((quarter) => places.map((place) => quarterOf(quarter, place, height, width)));
  const contexts = quarters.map(({ f, near }) => 4 * (anchors ? 1 : 0) + motions[f].mode[near[0]]);
  const modes = model.quarters.read(reader, Int32Array.from(contexts));
  const rows = [];
  const wanted = [];
  const values = quarters.map(({ f, near, at }, i) => {
    const middles = [];
    for (let reference = 0; reference < 2; reference++) {
      let spread = 0;
      for (let component = 0; component < 2; component++) {
        const base = (2 * reference + component) * area;
        const vectors = near.map((place) => motions[f].vectors[base + place]);
        const expected = near.map((place) => guesses[f][base + place]);
        const [found, differs] = steadier(vectors, expected, guesses[f][base + at], median);
        middles.push(within(found, FARTHEST));
        spread += differs;
      }
      if (!uses(modes[i], reference)) continue;
      const row = contextOf(4, false, spread) + SPREADS * reference;
      for (let component = 0; component < 2; component++) {
        rows.push(row);
        wanted.push([i, 2 * reference + component]);
      }
    }
    return middles;
  });
  const found = readIntegers(reader, model.fields, Int32Array.from(rows));
  wanted.forEach(([i, part], j) => (values[i][part] += found[j]));
  quarters.forEach(({ f, at }, i) => {
    motions[f].mode[at] = modes[i];
    values[i].forEach((value, part) => (motions[f].vectors[part * area + at] = within(value, FIELD_LIMIT)));
  });
}

function quarterOf(quarter, [f, top, left], height, width) {
  const up = Math.max(top - 1, 0);
  const down = Math.min(top + 2, height - 1);
  const before = Math.max(left - 1, 0);
  const after = Math.min(left + 2, width - 1);
  const [y, x] = [[top, left + 1], [top + 1, left], [top + 1, left + 1]][quarter];
  const near = [
    [[top, left], [top, after], [up, left + 1]],
    [[top, left], [top + 1, before], [down, left]],
    [[top, left], [top + 1, after], [down, left + 1]],
  ][quarter];
  return { f, at: y * width + x, near: near.map(([a, b]) => a * width + b) };
}

// Coded frames of one segment on an h x w grid of blocks, as the coding of the next ones sees them.
export class History {
  constructor(height, width) {
    Object.assign(this, { height, width, area: height * width });
    this.traces = new Map(); // index: {frame, motion, seen: (bands + 1, h * w)}
  }

  guess(frame) {
    return expectedMotion(frame, this.traces, this.area);
  }

  // {activity: (h * w, 2, bands), fresh, change: (h * w)} of a frame before its latents.
  surroundings(frame, motion) {
    const { area } = this;
    const activity = new Int32Array(area * 2 * BANDS);
    const fresh = new Int32Array(area);
    if (frame.level === 0) return { activity, fresh, change: new Int32Array(area) };
    [frame.first, frame.second].forEach((index, reference) => {
      const { seen } = this.traces.get(index);
      for (let at = 0; at < area; at++) {
        const from = this.pointed(motion.vectors, reference, at);
        for (let band = 0; band < BANDS; band++) {
          activity[(at * 2 + reference) * BANDS + band] = seen[band * area + from];
        }
        fresh[at] += seen[BANDS * area + from];
      }
    });
    return { activity, fresh, change: discontinuity(motion.vectors, this.height, this.width) };
  }

  // The block nearest to where the motion of a block points.
  pointed(vectors, reference, at) {
    const { area, height, width } = this;
    const row = Math.floor(at / width);
    const y = row + ((vectors[2 * reference * area + at] + 16) >> 5);
    const x = at - row * width + ((vectors[(2 * reference + 1) * area + at] + 16) >> 5);
    return Math.min(Math.max(y, 0), height - 1) * width + Math.min(Math.max(x, 0), width - 1);
  }

  // totals: (bands, h * w) magnitudes coded. Old activity fades.
  remember(frame, motion, around, totals) {
    const { area } = this;
    const seen = new Int32Array((BANDS + 1) * area);
    for (let band = 0; band < BANDS; band++) {
      for (let at = 0; at < area; at++) {
        const before = around.activity[at * 2 * BANDS + band] + around.activity[(at * 2 + 1) * BANDS + band];
        const total = totals[band * area + at];
        seen[band * area + at] = Math.max(total, (3 * before) >> 3);
        seen[BANDS * area + at] += total;
      }
    }
    this.traces.set(frame.index, { frame, motion, seen });
  }

  forget(keep) {
    for (const index of this.traces.keys()) if (!keep.has(index)) this.traces.delete(index);
  }
}
