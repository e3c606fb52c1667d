// Decodes bundles with the player's modules. Writes the pictures beside each bundle, and prints the digests of what
// lies before them: run by test_player_decoding.py.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [assets, data, key, ...paths] = process.argv.slice(2);
const load = (name) => import(join(assets, name));
const { Bundle } = await load("bundle.mjs");
const { Film } = await load("decoding.mjs");
const { Repair } = await load("repair.mjs");
const { readKey } = await load("secrets.mjs");
const { Codec } = await load("codec.mjs");

const base64 = (path) => readFileSync(path).toString("base64");
const parts = {
  codec: base64(join(assets, "codec.wasm")),
  prior: base64(join(data, "latent_prior.bin")),
  network: base64(join(data, "latent_network.bin")),
};
const digest = (...pieces) => {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
  return hash.digest("hex");
};

async function facts(film) {
  const { section, reader, head } = await film.load(film.segments[0]);
  const { keystream } = reader;
  const latents = [1, 2, 3].map((index) => digest(keystream.latent(index)));
  const frames = {};
  section.groups.forEach((_, number) => {
    for (const [index, { motion, at, levels }] of reader.readGroup(number)) {
      const dense = new Int16Array(reader.height * reader.width * 192);
      at.forEach((place, i) => (dense[place] = levels[i]));
      frames[index] = digest(motion.mode, motion.vectors, dense);
    }
  });
  return { latents, colour: head.colour, quality: head.quality, weights: head.weights && digest(head.weights), frames };
}

async function pictures(film, start) {
  const codec = await Codec.create(await WebAssembly.compile(readFileSync(join(assets, "codec.wasm"))));
  let repair = null;
  const found = [];
  for await (const next of film.frames(start)) {
    if (!next) continue;
    if (next.head) repair = new Repair(codec, next.head, next.height, next.width, next.rows, next.columns);
    else found.push(new Uint8Array(repair.picture(next).buffer));
  }
  return found;
}

const seen = {};
for (const path of paths) {
  const bundle = await Bundle.open(new Uint8Array(readFileSync(path)), "x.ncv");
  await bundle.unlock(readKey(new Uint8Array(Buffer.from(key, "hex")), "k"));
  const film = await Film.create(bundle, parts);
  seen[path] = await facts(film);
  const whole = await pictures(film, 0);
  writeFileSync(`${path}.rgba`, Buffer.concat(whole));
  // From every frame on, the same pictures come.
  seen[path].seeks = [];
  for (let start = 1; start < whole.length; start++) {
    const rest = await pictures(film, start);
    seen[path].seeks.push(rest.length === whole.length - start && rest.every((p, i) => Buffer.compare(p, whole[start + i]) === 0));
  }
}
console.log(JSON.stringify(seen));
