// Keys and what is derived from them: docs/format.md, sections 4, 5 and 8. HKDF, HMAC and AES-256-GCM are the browser's
// own; ChaCha20-Poly1305 and Argon2id come with the page.
import { join, startsWith, u64, utf8 } from "./bytes.mjs";
import { packFields } from "./msgpack.mjs";
import { keyFile, overLimit, usage } from "./problem.mjs";
import { argon2id, chacha20, chacha20poly1305 } from "./vendor.mjs";

export const MAGIC = new Uint8Array([0x89, 0x4e, 0x43, 0x56, 0x0d, 0x0a, 0x1a, 0x0a]);
const SECRET_BYTES = 32;
const MAX_PASSPHRASE_BYTES = 65_536;

// The 32 bytes of a key file.
export function readKey(bytes, name) {
  if (startsWith(bytes, MAGIC)) {
    throw keyFile(`${name} is a bundle, not a key file`, "pass the key file that sealed it");
  }
  if (bytes.length !== SECRET_BYTES) {
    const count = bytes.length > SECRET_BYTES ? "more" : bytes.length;
    throw keyFile(`the key file ${name} must have 32 bytes and has ${count}`, "make one with ncipher keygen");
  }
  return { kind: "key", bytes };
}

// UTF-8 of the NFC form, 1..65,536 bytes.
export function readPassphrase(text) {
  if (/\p{Surrogate}/u.test(text)) throw usage("the passphrase is not valid text", "type it again");
  const bytes = utf8(text.normalize("NFC"));
  if (!bytes.length) throw usage("the passphrase is empty", "type at least one character");
  if (bytes.length > MAX_PASSPHRASE_BYTES) {
    throw usage("the passphrase is longer than 65,536 bytes", "use a key file instead");
  }
  return { kind: "passphrase", bytes };
}

export async function hkdf(secret, salt, info) {
  const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const label = typeof info === "string" ? utf8(info) : info;
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info: label }, key, 256));
}

export async function hmac(secret, data) {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, data));
}

export async function digest(data) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

async function stretch(passphrase, slot) {
  try {
    return await argon2id({
      password: passphrase,
      salt: slot.salt,
      iterations: slot.t,
      memorySize: slot.m_kib,
      parallelism: slot.p,
      hashLength: 32,
      outputType: "binary",
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw overLimit(
      `the passphrase slot needs ${slot.m_kib} KiB of memory, more than there is`,
      "close other programs, or use a key file",
    );
  }
}

// The bundle key, or null if the slot is of another kind, does not open, or is damaged.
export async function openSlot(slot, credential) {
  if (slot.kind !== credential.kind) return null;
  const ikm = slot.kind === "key" ? credential.bytes : await stretch(credential.bytes, slot);
  const kek = await hkdf(ikm, slot.salt, `ncv1 slot ${slot.kind}`);
  const fields = [["kind", slot.kind]];
  if (slot.kind === "passphrase") fields.push(["m_kib", slot.m_kib], ["p", slot.p]);
  fields.push(["salt", slot.salt]);
  if (slot.kind === "passphrase") fields.push(["t", slot.t]);
  try {
    return chacha20poly1305(kek, new Uint8Array(12), packFields(fields)).decrypt(slot.wrapped);
  } catch {
    return null;
  }
}

// The seed of segment i, from the bundle key (sealed) or the key file (bare).
export const segmentSeed = (root, salt, segment) => hkdf(root, salt, join(utf8("ncv1 z0"), u64(segment)));

// The first `count` bytes of the ChaCha20 keystream of a key, with a nonce of zeros, from block 0.
export const keystreamBytes = (key, count) => chacha20(key, new Uint8Array(12), new Uint8Array(count));

// Opens chunks of a payload: (nonce, data) to the plaintext, or null if it does not verify.
export async function chunkOpener(aead, key) {
  if (aead !== "aes-256-gcm") {
    return async (nonce, data) => {
      try {
        return chacha20poly1305(key, nonce).decrypt(data);
      } catch {
        return null;
      }
    };
  }
  const imported = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["decrypt"]);
  return async (nonce, data) => {
    try {
      return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv: nonce, tagLength: 128 }, imported, data));
    } catch {
      return null;
    }
  };
}
