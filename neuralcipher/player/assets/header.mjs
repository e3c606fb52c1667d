// Everything in front of the payload: docs/format.md, sections 1, 3 and 4; neuralcipher/container/format.py.
import { alike, littleEndian, startsWith } from "./bytes.mjs";
import { isInteger, NotCanonical, unpack } from "./msgpack.mjs";
import { COPY_HINT, headerDamaged, notABundle, overLimit, truncated, unsupported } from "./problem.mjs";
import { digest, MAGIC } from "./secrets.mjs";

const FIXED_BYTES = 16;
const MAC_BYTES = 32;
const MAX_HEADER_BYTES = 65_536;
const MAX_ITEMS = 1024;
const MAX_SLOTS = 32;
const MAX_PASSPHRASE_SLOTS = 8;
const SUITES = ["bare", "sealed"];
const AEADS = ["chacha20-poly1305", "aes-256-gcm"];
const COSTS = { t: 16, m_kib: 1 << 20, p: 16 };
const DAMAGED_MAGICS = [
  [0x89, 0x4e, 0x43, 0x56],
  [0x09, 0x4e, 0x43, 0x56],
  [0xc2, 0x89, 0x4e, 0x43, 0x56],
  [0xef, 0xbf, 0xbd, 0x4e, 0x43, 0x56],
];
const NEWER = "install a newer neuralcipher";

// As Python shows text from a file, so that control characters cannot hide in a message.
export function quoted(text) {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = Array.from(text, (character) => {
    if (character === "\\" || character === mark) return `\\${character}`;
    const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
    if (named) return named;
    if (character === " " || !/[\p{C}\p{Z}]/u.test(character)) return character;
    const code = character.codePointAt(0);
    if (code < 256) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code < 65_536 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
  }).join("");
  return mark + body + mark;
}

const firstCharacters = (text) => Array.from(text).slice(0, 32).join("");

// {suite, covered, check, payloadOffset, salt, ...} of the bundle in `file`; throws Problem.
export async function parseHeader(file, name) {
  const start = file.subarray(0, FIXED_BYTES);
  checkMagic(start, name);
  const [version, suite, length] = [[8, 10], [10, 12], [12, 16]].map(([a, b]) => Number(littleEndian(start.subarray(a, b))));
  if (start.length >= 10 && version !== 1) {
    throw unsupported(
      `${name} is of format version ${version}, and this installation reads version 1`,
      version > 1 ? NEWER : COPY_HINT,
    );
  }
  if (start.length < FIXED_BYTES) throw truncated(`${name} is cut short`);
  if (suite >= SUITES.length) throw unsupported(`${name} is of suite ${suite}, which this installation lacks`, NEWER);
  if (length > MAX_HEADER_BYTES) {
    throw overLimit(`the header of ${name} claims ${length} bytes, above the limit of ${MAX_HEADER_BYTES}`, COPY_HINT);
  }
  const end = FIXED_BYTES + length;
  if (file.length < end + MAC_BYTES) throw truncated(`${name} is cut short`);
  const covered = file.subarray(0, end);
  const check = file.subarray(end, end + MAC_BYTES);
  if (SUITES[suite] === "bare" && !alike(check, await digest(covered))) {
    throw damaged(name, "its checksum does not match");
  }
  let fields;
  try {
    fields = unpack(file.subarray(FIXED_BYTES, end), MAX_ITEMS);
  } catch (error) {
    if (error instanceof NotCanonical) throw damaged(name, error.message);
    throw error;
  }
  const header = SUITES[suite] === "sealed" ? sealed(fields, name) : bare(fields, name);
  return { ...header, suite: SUITES[suite], covered, check, payloadOffset: end + MAC_BYTES };
}

function checkMagic(start, name) {
  if (startsWith(start, MAGIC)) return;
  if (!start.length) throw notABundle(`the bundle ${name} is empty`, COPY_HINT);
  if (startsWith(MAGIC, start)) throw truncated(`${name} is cut short`);
  if (DAMAGED_MAGICS.some((magic) => startsWith(start, magic))) {
    throw notABundle(`${name} was a bundle before it was copied as text, which damaged it`, "copy it again in binary mode");
  }
  throw notABundle(`${name} is not a neuralcipher bundle`, "give the path of an .ncv file");
}

const damaged = (name, why) => headerDamaged(`the header of ${name} is damaged: ${why}`);

const TYPES = {
  text: (value) => typeof value === "string",
  bytes: (value) => value instanceof Uint8Array,
  list: (value) => Array.isArray(value),
  integer: isInteger,
};

// Check that a map has exactly these fields with exactly these types.
function checked(fields, types, what, name) {
  if (!(fields instanceof Map)) throw damaged(name, `${what} is not a map`);
  const names = [...new Set([...Object.keys(types), ...fields.keys()])].sort(byCodePoints);
  for (const field of names) {
    if (field in types && fields.has(field)) continue;
    const how = field in types ? "lacks" : "has an unknown";
    throw damaged(name, `${what} ${how} field ${quoted(firstCharacters(field))}`);
  }
  for (const [field, type] of Object.entries(types)) {
    if (!TYPES[type](fields.get(field))) throw damaged(name, `field ${quoted(field)} of ${what} has the wrong type`);
  }
  return Object.fromEntries(fields);
}

export function byCodePoints(first, second) {
  const [a, b] = [Array.from(first), Array.from(second)];
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i] !== b[i]) return a[i].codePointAt(0) - b[i].codePointAt(0);
  }
  return a.length - b.length;
}

function sized(fields, field, size, name) {
  const value = fields[field];
  if (value.length !== size) throw damaged(name, `field ${quoted(field)} has ${value.length} bytes instead of ${size}`);
  return value;
}

function bare(fields, name) {
  const found = checked(fields, { salt: "bytes" }, "it", name);
  return { salt: sized(found, "salt", 32, name), slots: [] };
}

function sealed(fields, name) {
  const types = { aead: "text", salt: "bytes", payload_salt: "bytes", commit: "bytes", slots: "list" };
  const found = checked(fields, types, "it", name);
  if (!AEADS.includes(found.aead)) {
    const aead = quoted(firstCharacters(found.aead));
    throw unsupported(`${name} is encrypted with ${aead}, which this installation lacks`, NEWER);
  }
  const many = (count, kind, limit) => overLimit(`${name} has ${count} ${kind} slots, above the limit of ${limit}`);
  if (found.slots.length > MAX_SLOTS) throw many(found.slots.length, "key", MAX_SLOTS);
  const slots = found.slots.map((slot) => slotOf(slot, name));
  if (!slots.length) throw damaged(name, "it has no key slot");
  const passphrases = slots.filter((slot) => slot.kind === "passphrase").length;
  if (passphrases > MAX_PASSPHRASE_SLOTS) throw many(passphrases, "passphrase", MAX_PASSPHRASE_SLOTS);
  return {
    aead: found.aead,
    salt: sized(found, "salt", 32, name),
    payloadSalt: sized(found, "payload_salt", 32, name),
    commit: sized(found, "commit", 32, name),
    slots,
  };
}

function slotOf(fields, name) {
  const kind = fields instanceof Map ? fields.get("kind") : null;
  if (kind === "key") {
    const found = checked(fields, { kind: "text", salt: "bytes", wrapped: "bytes" }, "a key slot", name);
    return { kind, salt: sized(found, "salt", 32, name), wrapped: sized(found, "wrapped", 48, name) };
  }
  if (kind === "passphrase") {
    const types = { kind: "text", salt: "bytes", wrapped: "bytes", t: "integer", m_kib: "integer", p: "integer" };
    const found = checked(fields, types, "a passphrase slot", name);
    const above = Object.keys(COSTS).find((cost) => found[cost] > COSTS[cost]);
    if (above) {
      throw overLimit(
        `a passphrase slot of ${name} asks for argon2id with ${above}=${found[above]}`,
        "at most t=16, m_kib=1048576, p=16 are accepted",
      );
    }
    const { t, m_kib, p } = found;
    if (t < 1 || p < 1 || m_kib < 8 * Number(p)) {
      throw damaged(name, "a passphrase slot has argon2id parameters that do not exist");
    }
    return { kind, salt: sized(found, "salt", 16, name), wrapped: sized(found, "wrapped", 48, name), t, m_kib, p };
  }
  if (typeof kind === "string") {
    const shown = quoted(firstCharacters(kind));
    throw unsupported(`${name} has a key slot of kind ${shown}, which this installation lacks`, NEWER);
  }
  throw damaged(name, "a key slot has no kind");
}
