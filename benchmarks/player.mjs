// Processor time of the player's decoder, by stage, under Node: run by player.py.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [assets, data, bundlePath, keyPath] = process.argv.slice(2);
const load = (name) => import(join(assets, name));
const { Bundle } = await load("bundle.mjs");
const { Film } = await load("decoding.mjs");
const { Repair } = await load("repair.mjs");
const { readKey } = await load("secrets.mjs");
const { Codec } = await load("codec.mjs");

const spent = { entropy: 0, repair: 0, all: 0 };
const timed = (name, work) => {
  const before = process.cpuUsage();
  const found = work();
  const { user, system } = process.cpuUsage(before);
  spent[name] += (user + system) / 1e3;
  return found;
};
const base64 = (path) => readFileSync(path).toString("base64");
const wasm = join(assets, "codec.wasm");
const [prior, network] = ["latent_prior.bin", "latent_network.bin"].map((name) => base64(join(data, name)));
const bundle = await Bundle.open(new Uint8Array(readFileSync(bundlePath)), "x.ncv");
await bundle.unlock(readKey(new Uint8Array(readFileSync(keyPath)), "k"));
const film = await Film.create(bundle, { codec: base64(wasm), prior, network });
const codec = await Codec.create(await WebAssembly.compile(readFileSync(wasm)));

// Once through to warm the compilers up, and once again to measure.
let frames = 0;
let repairs = false;
for (const measured of [false, true]) {
  film.loaded = null;
  Object.assign(spent, { entropy: 0, repair: 0 });
  const before = process.cpuUsage();
  const mark = codec.bottom;
  let repair = null;
  frames = 0;
  for await (const next of film.frames(0)) {
    if (next?.head) {
      codec.release(mark);
      repair = new Repair(codec, next.head, next.height, next.width, next.rows, next.columns);
      repairs = next.head.weights !== null;
      const { reader } = film.loaded;
      const read = reader.readNext.bind(reader);
      reader.readNext = (number) => timed("entropy", () => read(number));
    } else if (next) {
      timed("repair", () => repair.picture(next));
      frames++;
    }
  }
  const { user, system } = process.cpuUsage(before);
  if (measured) spent.all = (user + system) / 1e3;
  codec.release(mark);
}
const each = (ms) => Math.round((ms / frames) * 100) / 100;
const { entropy, repair, all } = spent;
console.log(
  JSON.stringify({
    repairs,
    entropy_ms: each(entropy),
    synthesis_ms: each(all - entropy - repair),
    repair_ms: each(repair),
    all_ms: each(all),
    memory_mb: Math.round((film.codec.memory.buffer.byteLength + codec.memory.buffer.byteLength) / 1e6),
  }),
);
