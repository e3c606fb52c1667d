// Reads every vector with the player's reader and prints, as JSON, what came of each: run by test_player_vectors.py.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [assets, folder] = process.argv.slice(2);
const { Bundle } = await import(join(assets, "bundle.mjs"));
const { readKey, readPassphrase } = await import(join(assets, "secrets.mjs"));
const { Problem } = await import(join(assets, "problem.mjs"));

const seen = {};
for (const name of readdirSync(folder).sort()) {
  const content = readFileSync(join(folder, name));
  const end = content.indexOf("\n\n");
  const fields = Object.fromEntries(content.subarray(0, end).toString().split("\n").map((line) => line.split(/: (.*)/s)));
  try {
    const bundle = await Bundle.open(new Uint8Array(content.subarray(end + 2)), "vector.ncv");
    const key = "key" in fields ? readKey(new Uint8Array(Buffer.from(fields.key, "hex")), "k") : readPassphrase(fields.passphrase);
    await bundle.unlock(key);
    await bundle.readDirectory();
    const hash = createHash("sha256");
    for (const section of bundle.sections) hash.update(await bundle.readSection(section));
    await bundle.payload.verify();
    seen[name] = { kind: "opens", payload: hash.digest("hex") };
  } catch (error) {
    if (!(error instanceof Problem)) throw Object.assign(error, { vector: name });
    seen[name] = { kind: error.kind, message: error.message, hint: error.hint };
  }
}
console.log(JSON.stringify(seen));
