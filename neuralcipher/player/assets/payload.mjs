// The payload: AEAD chunks of which any opens alone (docs/format.md, section 6), or bytes in clear with a checksum.
// neuralcipher/container/stream.py and plain.py.
import { alike, join } from "./bytes.mjs";
import { payloadDamaged, truncated } from "./problem.mjs";
import { digest } from "./secrets.mjs";

const CHUNK = 65_536;
const TAG = 16;
const SEALED_CHUNK = CHUNK + TAG;
const CACHED_CHUNKS = 4;
const TRAILING_SEARCH = 64;
const CHECKSUM = 32;

function nonceOf(index, final) {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(3, BigInt(index));
  nonce[11] = final ? 1 : 0;
  return nonce;
}

export class StreamReader {
  // file: the whole bundle. open: of `chunkOpener`.
  constructor(file, offset, name, open) {
    Object.assign(this, { file, offset, name, open });
    this.size = file.length - offset;
    this.chunks = Math.ceil(this.size / SEALED_CHUNK);
    this.length = Math.max(0, this.size - this.chunks * TAG);
    this.cache = new Map();
    this.endChecked = false;
  }

  // Plaintext [start, start + length); verifies the last chunk first.
  async read(start, length) {
    await this.checkEnd();
    if (!length) return new Uint8Array(0);
    const pieces = [];
    for (let index = Math.floor(start / CHUNK); index * CHUNK < start + length; index++) {
      const chunk = await this.chunk(index);
      const from = Math.max(0, start - index * CHUNK);
      pieces.push(chunk.subarray(from, Math.min(chunk.length, start + length - index * CHUNK)));
    }
    return join(...pieces);
  }

  async chunk(index) {
    let chunk = this.cache.get(index);
    if (!chunk) {
      chunk = await this.opened(index, this.size, index === this.chunks - 1);
      if (!chunk) throw payloadDamaged(`the payload of ${this.name} is damaged at byte ${this.chunkOffset(index)}`);
    }
    this.remember(index, chunk);
    return chunk;
  }

  remember(index, chunk) {
    this.cache.delete(index);
    this.cache.set(index, chunk);
    if (this.cache.size > CACHED_CHUNKS) this.cache.delete(this.cache.keys().next().value);
  }

  chunkOffset(index) {
    return this.offset + index * SEALED_CHUNK;
  }

  // A chunk of a payload of `size` bytes, or null if it does not verify.
  async opened(index, size, final) {
    const start = index * SEALED_CHUNK;
    const length = Math.min(SEALED_CHUNK, size - start);
    // Only the last chunk may be short, and it is empty only if the whole payload is.
    if (length < TAG || (length === TAG && index) || (!final && length < SEALED_CHUNK)) return null;
    return this.open(nonceOf(index, final), this.file.subarray(this.offset + start, this.offset + start + length));
  }

  async checkEnd() {
    if (this.endChecked) return;
    const last = this.chunks - 1;
    const chunk = last >= 0 ? await this.opened(last, this.size, true) : null;
    if (!chunk) throw await this.badEnd(last);
    this.remember(last, chunk);
    this.endChecked = true;
  }

  // Find out why the last chunk is none.
  async badEnd(last) {
    const cut = () => truncated(`${this.name} is cut short after ${this.file.length} bytes`);
    if (last < 0 || (await this.opened(last, this.size, false))) return cut();
    for (let extra = 1; extra <= Math.min(TRAILING_SEARCH, this.size - TAG); extra++) {
      const size = this.size - extra;
      if (await this.opened(Math.floor((size - 1) / SEALED_CHUNK), size, true)) {
        const hint = "cut them off, or fetch the file again from where it came from";
        return payloadDamaged(`${this.name} has ${extra} bytes after its end`, hint);
      }
    }
    if (last && (await this.opened(last - 1, last * SEALED_CHUNK, true))) {
      return payloadDamaged(`${this.name} has bytes after its end, from byte ${this.chunkOffset(last)} on`);
    }
    if (this.size - last * SEALED_CHUNK <= TAG) return cut();
    const at = this.chunkOffset(last);
    return payloadDamaged(`${this.name} is cut short, or damaged in its last chunk from byte ${at} on`);
  }

  // Verify every chunk; throws Problem at the first that is bad.
  async verify() {
    for (let index = 0; index < this.chunks - 1; index++) {
      if (!(await this.opened(index, this.size, false))) {
        throw payloadDamaged(`the payload of ${this.name} is damaged at byte ${this.chunkOffset(index)}`);
      }
    }
    await this.checkEnd();
  }
}

export class PlainReader {
  constructor(file, offset, name) {
    Object.assign(this, { file, offset, name });
    this.length = Math.max(0, file.length - offset - CHECKSUM);
    this.endChecked = false;
  }

  async read(start, length) {
    await this.checkEnd();
    return this.file.slice(this.offset + start, this.offset + start + length);
  }

  async checkEnd() {
    if (this.endChecked) return;
    const end = this.file.length - CHECKSUM;
    if (end < this.offset) throw truncated(`${this.name} is cut short after ${this.file.length} bytes`);
    if (!alike(await digest(this.file.subarray(0, end)), this.file.subarray(end))) {
      throw payloadDamaged(`${this.name} is damaged or cut short: its checksum does not match`);
    }
    this.endChecked = true;
  }

  verify() {
    return this.checkEnd();
  }
}
