// From latents to frames in float32, in the order in which they are shown: neuralcipher/flows/latent/synthesis.py.

const LEVEL_OFFSETS = [-1, 0, 1, 2, 3, 3];

const stepSize = (quality, level) => 2 * 2 ** (LEVEL_OFFSETS[level] / 6 - quality / 16);

// Frames of one segment, which refer to each other. `fold` hands out what the repair needs of each.
export class Synthesis {
  constructor(codec, height, width, quality) {
    Object.assign(this, { codec, height, width, quality });
    this.references = new Map(); // index: place of its float16 values at half pixels
    this.free = [];
    const pixels = height * width * 64;
    this.frame = codec.keep(pixels * 16);
    this.residual = codec.keep(pixels * 16);
    this.weights = [codec.putKept(Float32Array.of(1, 0, 0.5, 0)), codec.putKept(Float32Array.of(0, 1, 0.5, 0))];
  }

  // Decode a frame whose references are there. Returns (8h/2 + 2, 8w/2 + 2, 24) float32, see `fold` in synthesis.c.
  // needed: whether others refer to it.
  finish({ frame, motion, at, levels }, needed) {
    const { codec, height, width } = this;
    const values = height * width * 256;
    codec.clear();
    const [places, amounts] = [codec.put(at), codec.put(levels)];
    const [heads, next] = [codec.scratch(4 * height * width), codec.scratch(4 * levels.length)];
    const step = stepSize(this.quality, frame.level);
    codec.call.inverse_transform(places, amounts, levels.length, step, height, width, heads, next, this.residual);
    codec.view(Float32Array, this.frame, values).set(codec.view(Float32Array, this.residual, values));
    if (frame.first >= 0) {
      const mode = codec.put(motion.mode);
      [frame.first, frame.second].forEach((index, number) => {
        const vectors = codec.put(motion.vectors.subarray(number * 2 * height * width, (number + 1) * 2 * height * width));
        const reference = this.references.get(index);
        codec.call.predict(reference, vectors, mode, this.weights[number], height, width, this.frame);
      });
    }
    if (needed) this.refer(frame.index);
    codec.clear();
    const folded = codec.scratch(this.foldedValues * 4);
    codec.call.fold(this.frame, this.residual, height * 8, width * 8, folded);
    return codec.view(Float32Array, folded, this.foldedValues).slice();
  }

  get foldedValues() {
    return (this.height * 4 + 2) * (this.width * 4 + 2) * 24;
  }

  refer(index) {
    const { codec } = this;
    const [height, width] = [this.height * 8, this.width * 8];
    const place = this.free.pop() ?? codec.keep(codec.call.reference_bytes(height, width));
    codec.clear();
    codec.call.make_reference(this.frame, height, width, codec.scratch(width * 8), place);
    this.references.set(index, place);
  }

  drop(index) {
    this.free.push(this.references.get(index));
    this.references.delete(index);
  }
}

// The frames of a segment from `start` on, in order: {index, level, folded}; null after work that shows nothing.
// reader: LatentReader.
export function* shownFrames(reader, synthesis, start) {
  const { groups } = reader.section;
  const firstGroup = Math.max(0, ...groups.map((group, i) => (group.key && group.start <= start ? i : 0)));
  for (let number = 0; number < groups.length; number++) {
    const latents = reader.readGroup(number);
    if (groups[number].stop <= start) yield null;
    if (number < firstGroup) continue; // its latents are needed, its pictures are not
    yield* shownOfGroup(groups[number], latents, synthesis, start);
  }
}

function* shownOfGroup(group, latents, synthesis, start) {
  const users = new Map();
  for (const { frame } of latents.values()) {
    for (const index of new Set([frame.first, frame.second])) users.set(index, (users.get(index) ?? 0) + 1);
  }
  const folded = new Map();
  const decode = (index) => {
    const coded = latents.get(index);
    if (!coded) return; // shown before, or of an earlier group
    latents.delete(index);
    const { frame } = coded;
    for (const other of [frame.first, frame.second]) if (other >= group.start) decode(other);
    folded.set(index, { index, level: frame.level, folded: synthesis.finish(coded, users.has(index) || group.keep.has(index)) });
    for (const other of new Set([frame.first, frame.second])) {
      if (other < 0) continue;
      users.set(other, users.get(other) - 1);
      if (!users.get(other) && !group.keep.has(other) && other >= group.start) synthesis.drop(other);
    }
  };
  // The anchor is what later groups need, whatever is shown of this one.
  decode(group.stop - 1);
  for (let index = Math.max(start, group.start); index < group.stop; index++) {
    decode(index);
    yield folded.get(index);
    folded.delete(index);
  }
  for (const index of synthesis.references.keys()) if (!group.keep.has(index)) synthesis.drop(index);
}
