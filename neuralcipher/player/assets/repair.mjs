// The repairing network and the colours: from what `fold` hands out to pictures of RGBA.

const HIDDEN = 16;
const REPAIRED_LEVELS = 5;

export class Repair {
  // head: of `readHead`. height, width: of the picture. blockRows, blockColumns: of the coded frame.
  constructor(codec, head, height, width, blockRows, blockColumns) {
    Object.assign(this, { codec, head, height, width });
    this.rows = blockRows * 4;
    this.columns = blockColumns * 4;
    const { colour, weights } = head;
    this.turn = codec.putKept(Float32Array.from(colour, (value, i) => (255 * value) / 16_384 + (i < 9 ? 0 : 0.5)));
    this.input = codec.keep((this.rows + 2) * (this.columns + 2) * 24 * 4);
    this.scratch = codec.keep(codec.call.repair_bytes(this.rows, this.columns));
    this.output = codec.keep(height * width * 4);
    this.weights = weights ? codec.putKept(arranged(weights)) : 0;
    this.bias = codec.keep(HIDDEN * 4);
  }

  // RGBA, row by row, of a frame of `shownFrames`.
  picture({ level, folded }) {
    const { codec, head } = this;
    codec.put(folded, this.input);
    const repairs = this.weights && level < REPAIRED_LEVELS;
    if (repairs) {
      const of = (i) => head.weights[level * HIDDEN + i] + (head.quality / 50) * head.weights[6 * HIDDEN + i];
      codec.put(Float32Array.from({ length: HIDDEN }, (_, i) => of(i)), this.bias);
    }
    const sizes = [this.height, this.width];
    codec.call.repair(this.input, this.rows, this.columns, this.bias, repairs ? this.weights : 0, this.turn, ...sizes, this.scratch, this.output);
    return codec.view(Uint8ClampedArray, this.output, this.height * this.width * 4).slice();
  }
}

// Of the 2x2 squares of four channels that the network sees, without the fourth, which is zero.
const CHANNELS = [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14];

// The network's parameters in the order and layout of repair.c: (3, 3, inputs, outputs).
function arranged(weights) {
  let at = 7 * HIDDEN;
  const found = [];
  const layer = (inputs, outputs, fromInputs, fromOutputs) => {
    for (let tap = 0; tap < 9; tap++) {
      for (const i of fromInputs) for (const o of fromOutputs) found.push(weights[at + (o * inputs + i) * 9 + tap]);
    }
    at += inputs * outputs * 9;
  };
  const bias = (from) => {
    for (const o of from) found.push(weights[at + o]);
    at += 16;
  };
  const all = Array.from({ length: 16 }, (_, i) => i);
  layer(32, 16, [...CHANNELS, ...CHANNELS.map((i) => i + 16)], all);
  layer(16, 16, all, all);
  bias(all);
  layer(16, 16, all, CHANNELS);
  bias(CHANNELS);
  return Float32Array.from(found);
}
