// A bundle: its header without a key, then any section in any order. neuralcipher/container/reading.py, directory.py.
import { alike, littleEndian } from "./bytes.mjs";
import { parseHeader, quoted } from "./header.mjs";
import { isInteger, NotCanonical, unpack } from "./msgpack.mjs";
import { PlainReader, StreamReader } from "./payload.mjs";
import { headerDamaged, overLimit, payloadDamaged, unsupported, usage, wrongKey } from "./problem.mjs";
import { chunkOpener, hkdf, hmac, openSlot, segmentSeed } from "./secrets.mjs";
import { utf8 } from "./bytes.mjs";

const TRAILER = 16;
const MAX_DIRECTORY_BYTES = 64 << 20;
const MAX_DIRECTORY_ITEMS = 1 << 22;
const MAX_SECTIONS = 1 << 18;
const MAX_SECTION_BYTES = 1 << 30;
const MAX_KIND_BYTES = 64;

export class Bundle {
  constructor(file, name, header) {
    Object.assign(this, { file, name, header });
    this.payload = header.suite === "bare" ? new PlainReader(file, header.payloadOffset, name) : null;
    this.root = null;
  }

  // file: Uint8Array of the whole bundle. Throws Problem.
  static async open(file, name) {
    return new Bundle(file, name, await parseHeader(file, name));
  }

  get suite() {
    return this.header.suite;
  }

  // Find a slot that opens, then check the commitment and the header's MAC; not the payload. Throws Problem.
  async unlock(credential) {
    const { header, name } = this;
    if (header.suite === "bare") {
      if (credential.kind !== "key") throw usage(`${name} is bare and takes one key file`, "choose the key file");
      this.root = credential.bytes;
      return;
    }
    const root = await this.openSlots(credential);
    const mac = await hmac(await hkdf(root, header.salt, "ncv1 header"), header.covered);
    if (!alike(mac, header.check)) throw headerDamaged(`the header of ${name} is damaged or forged`);
    const key = await hkdf(root, header.payloadSalt, "ncv1 payload");
    this.payload = new StreamReader(this.file, header.payloadOffset, name, await chunkOpener(header.aead, key));
    this.root = root;
  }

  async openSlots(credential) {
    let opened = false;
    for (const slot of this.header.slots) {
      const root = await openSlot(slot, credential);
      if (!root) continue;
      opened = true;
      if (alike(await hkdf(root, this.header.salt, "ncv1 commit"), this.header.commit)) return root;
    }
    if (opened) throw headerDamaged(`the header of ${this.name} is damaged or forged`);
    throw this.wrongKey(credential);
  }

  wrongKey(credential) {
    const count = this.header.slots.filter((slot) => slot.kind === "passphrase").length;
    if (credential.kind === "passphrase") {
      if (!count) return wrongKey(`no key slot of ${this.name} takes a passphrase`, "choose the key file");
      return wrongKey(
        `no key slot of ${this.name} opens with this passphrase`,
        "type it again, or choose a key file; a damaged slot looks the same",
      );
    }
    const other = count ? ", or type the passphrase" : "";
    return wrongKey(
      `no key slot of ${this.name} opens with this key`,
      `check that it is the key file that sealed it${other}; a damaged slot looks the same`,
    );
  }

  seed(segment) {
    return segmentSeed(this.root, this.header.salt, segment);
  }

  // Read the directory: `metadata`, a Map, and `sections`, in the order of the file. Throws Problem.
  async readDirectory() {
    const { payload, name } = this;
    await payload.checkEnd();
    const at = Math.max(0, payload.length - TRAILER);
    const trailer = await payload.read(at, Math.min(TRAILER, payload.length));
    const [offset, length] = [littleEndian(trailer.subarray(0, 8)), littleEndian(trailer.subarray(8))];
    if (offset + length !== BigInt(payload.length - TRAILER)) throw damaged(name, "it is not where the payload says");
    if (length > MAX_DIRECTORY_BYTES) {
      throw overLimit(`the directory of ${name} has ${length} bytes, above the limit of ${MAX_DIRECTORY_BYTES}`);
    }
    const data = await payload.read(Number(offset), Number(length));
    Object.assign(this, parseDirectory(data, Number(offset), name));
  }

  section(kind, segment = 0) {
    return this.sections.find((section) => section.kind === kind && section.segment === segment) ?? null;
  }

  readSection(section) {
    return this.payload.read(section.offset, section.length);
  }
}

const damaged = (name, why) => payloadDamaged(`the directory of ${name} is damaged: ${why}`);

export function parseDirectory(data, offset, name) {
  let fields;
  try {
    fields = unpack(data, MAX_DIRECTORY_ITEMS);
  } catch (error) {
    if (error instanceof NotCanonical) throw damaged(name, error.message);
    throw error;
  }
  const version = fields instanceof Map ? fields.get("version") : null;
  if (isInteger(version) && version !== 1) {
    throw unsupported(
      `${name} has a directory of version ${version}, and this installation reads 1`,
      "install a newer neuralcipher",
    );
  }
  const known = ["version", "metadata", "sections"];
  if (!isInteger(version) || fields.size !== 3 || !known.every((field) => fields.has(field))) {
    throw damaged(name, "its fields are not those of version 1");
  }
  const [metadata, entries] = [fields.get("metadata"), fields.get("sections")];
  if (!(metadata instanceof Map) || !Array.isArray(entries)) throw damaged(name, "a field has the wrong type");
  if (entries.length > MAX_SECTIONS) {
    throw overLimit(`${name} has ${entries.length} sections, above the limit of ${MAX_SECTIONS}`);
  }
  const sections = entries.map((entry) => sectionOf(entry, name));
  let end = 0;
  for (const section of sections) {
    if (section.offset !== end) {
      throw damaged(name, `section ${quoted(section.kind)} does not begin where the one before it ends`);
    }
    end += section.length;
  }
  if (end !== offset) throw damaged(name, "the sections do not end where the directory begins");
  if (new Set(sections.map((section) => `${section.segment} ${section.kind}`)).size < sections.length) {
    throw damaged(name, "a section is there twice");
  }
  return { metadata, sections };
}

function sectionOf(entry, name) {
  const typed =
    entry instanceof Map &&
    typeof entry.get("kind") === "string" &&
    ["segment", "offset", "length"].every((field) => isInteger(entry.get(field)));
  if (!typed) throw damaged(name, "a section lacks a field or has one of the wrong type");
  const { kind, segment, offset, length, ...attributes } = Object.fromEntries(entry);
  const bytes = utf8(kind).length;
  if (bytes < 1 || bytes > MAX_KIND_BYTES || segment < 0 || offset < 0 || length < 0) {
    throw damaged(name, "a section has a field out of its range");
  }
  if (length > MAX_SECTION_BYTES) {
    throw overLimit(`section ${quoted(kind)} of ${name} has ${length} bytes, above the limit of ${MAX_SECTION_BYTES}`);
  }
  return { kind, segment, offset, length, attributes };
}
