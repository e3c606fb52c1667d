// What a bundle says about its video and its sound: neuralcipher/video/metadata.py, packing.py; pipeline/stored.py.
import { join } from "./bytes.mjs";
import { isInteger, NotCanonical, unpack } from "./msgpack.mjs";
import { overLimit, payloadDamaged } from "./problem.mjs";

const MAX_SIDE = 16_384;
const MAX_PIXELS = 2 ** 27;
const MAX_FRAMES = 2 ** 20;
const MAX_AUDIO_PACKETS = 10 ** 7;
const MAX_EMPTY_PACKETS = 2 ** 16;
const MAX_AUDIO_BYTES = 2 ** 32 - 1;
const MAX_GROUPS = 10;

const bad = (message) => payloadDamaged(message, "");

function integer(fields, name, low, high) {
  const value = fields.get(name);
  if (!isInteger(value) || value < low) throw bad(`the field ${name} is not a number it can be`);
  if (value > high) throw overLimit(`the field ${name} is ${value}, above the limit of ${high}`, "");
  return Number(value);
}

function octets(fields, name) {
  const value = fields.get(name);
  if (!(value instanceof Uint8Array)) throw bad(`the field ${name} does not hold bytes`);
  return value;
}

function ratio(fields, name) {
  const value = fields.get(name);
  const fits = Array.isArray(value) && value.length === 2 && value.every((term) => isInteger(term) && term >= 1 && term < 2 ** 31);
  if (!fits) throw bad(`the field ${name} is not a ratio`);
  return Number(value[0]) / Number(value[1]);
}

// At most `limit` bytes out of zlib; null if there are more, or if it is no zlib.
async function inflate(data, limit) {
  const reader = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const parts = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return join(...parts);
      size += value.length;
      if (size > limit) return null;
      parts.push(value);
    }
  } catch {
    return null;
  } finally {
    reader.cancel().catch(() => {});
  }
}

// `count` integers of a column; numbers are exact as far as they lie within 2^53, which times of a video do.
async function column(data, count, what) {
  const raw = await inflate(data, count * MAX_GROUPS);
  if (!raw) throw bad(`the ${what} cannot be unpacked`);
  const values = new Float64Array(count);
  let found = 0;
  let value = 0;
  let scale = 1;
  for (const byte of raw) {
    value += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte & 0x80) {
      if (scale >= 128 ** MAX_GROUPS) throw bad(`the ${what} hold an integer that is too long`);
      continue;
    }
    if (found === count) throw bad(`the ${what} are longer or shorter than stated`);
    values[found++] = value % 2 ? -(value + 1) / 2 : value / 2;
    value = 0;
    scale = 1;
  }
  if (found !== count || scale !== 1) throw bad(`the ${what} are longer or shorter than stated`);
  return values;
}

async function times(data, count, what) {
  const changes = await column(data, count, what);
  let value = 0;
  let delta = 0;
  return changes.map((change) => (value += delta += change));
}

// {width, height, frames, name, starts: seconds of each frame from the first, end, aspect} of a bundle.
export async function readVideo(bundle) {
  const fields = bundle.metadata.get("video");
  if (!(fields instanceof Map)) {
    throw payloadDamaged(`${bundle.name} does not describe its video`, "it was not made by ncipher seal");
  }
  const width = integer(fields, "width", 1, MAX_SIDE);
  const height = integer(fields, "height", 1, MAX_SIDE);
  if (width * height > MAX_PIXELS) {
    throw overLimit(`the picture has ${width}x${height} pixels, above the limit of ${MAX_PIXELS}`, "");
  }
  const frames = integer(fields, "frames", 1, MAX_FRAMES);
  const unit = ratio(fields, "time_base");
  const pts = await times(octets(fields, "pts"), frames, "timestamps");
  const last = pts[frames - 1] - (pts[frames - 2] ?? Infinity);
  const usual = last > 0 ? last : Math.max(1, Math.round(1 / (unit * ratio(fields, "average_rate"))));
  // Only of a video that was cut, where its last frame is not as long as the one before.
  const duration = bundle.metadata.get("last_duration") ?? usual;
  if (!isInteger(duration)) throw bad(`${bundle.name} states wrongly how long its last frame is shown`);
  const name = fields.get("source_name");
  return {
    width,
    height,
    frames,
    aspect: ratio(fields, "sample_aspect"),
    name: typeof name === "string" ? name : "video",
    origin: pts[0] * unit,
    starts: Array.from(pts, (time) => (time - pts[0]) * unit),
    end: (pts[frames - 1] + Math.max(0, Number(duration)) - pts[0]) * unit,
  };
}

// [{number, first, frames, flow, generator}], first: the number of its first frame.
export function readSegments(bundle, video) {
  const segments = [];
  let first = 0;
  for (const flow of bundle.sections) {
    if (flow.kind !== "flow") continue;
    const generator = bundle.section("generator", flow.segment);
    const frames = flow.attributes.frames;
    if (!generator || flow.segment !== segments.length || !Number.isSafeInteger(frames) || frames < 1) {
      throw payloadDamaged(`${bundle.name} lists its segments wrongly`);
    }
    if (typeof flow.attributes.name !== "string" || typeof generator.attributes.name !== "string") {
      throw bad(`${bundle.name} does not name its flow and generator`);
    }
    segments.push({ number: segments.length, first, frames, flow, generator });
    first += frames;
  }
  if (first !== video.frames) throw bad(`${bundle.name} has segments that do not add up to its frames`);
  return segments;
}

// {codec, extradata, sampleRate, channels, packets: [{start, duration, data}]} with times in seconds as the video
// counts them, or null where there is no sound.
export async function readSound(bundle, video) {
  const section = bundle.section("audio");
  if (!section) return null;
  let fields;
  try {
    fields = unpack(await bundle.readSection(section), 64, false);
  } catch (error) {
    if (!(error instanceof NotCanonical)) throw error;
    throw bad("the sound section cannot be parsed");
  }
  if (!(fields instanceof Map)) throw bad("the sound section does not have the fields it must have");
  const count = integer(fields, "packets", 0, MAX_AUDIO_PACKETS);
  const data = octets(fields, "data");
  if (data.length > MAX_AUDIO_BYTES || count > MAX_EMPTY_PACKETS + data.length) {
    throw bad("the sound packets do not add up to the section");
  }
  const [codec, layout] = [fields.get("codec"), fields.get("layout")];
  if (typeof codec !== "string" || typeof layout !== "string") throw bad("the sound section holds no codec name");
  const unit = ratio(fields, "time_base");
  const starts = await times(octets(fields, "pts"), count, "sound timestamps");
  const durations = await times(octets(fields, "durations"), count, "sound durations");
  const sizes = await column(octets(fields, "sizes"), count, "sound packet sizes");
  if (sizes.some((size) => size < 0) || sizes.reduce((a, b) => a + b, 0) !== data.length) {
    throw bad("the sound packets do not add up to the section");
  }
  let at = 0;
  const packets = Array.from(starts, (start, i) => ({
    start: start * unit - video.origin,
    duration: durations[i] * unit,
    data: data.subarray(at, (at += sizes[i])),
  }));
  const sampleRate = integer(fields, "sample_rate", 1, 2 ** 20);
  return { codec, layout, extradata: octets(fields, "extradata"), sampleRate, channels: channelsOf(layout), packets };
}

// FFmpeg's names of layouts: "mono", "stereo", "5.1", "5.1(side)", "6 channels".
export function channelsOf(layout) {
  const named = { mono: 1, stereo: 2, downmix: 2, quad: 4, hexagonal: 6, octagonal: 8 };
  const short = layout.replace(/\(.*/, "");
  if (short in named) return named[short];
  const counted = /^(\d+) channels/.exec(layout);
  if (counted) return Number(counted[1]);
  return short.split(".").reduce((sum, part) => sum + (Number(part) || 0), 0);
}
