// Small things about bytes.

const encoder = new TextEncoder();

export const utf8 = (text) => encoder.encode(text);

// Text of bytes that must be UTF-8; throws TypeError on others. A byte order mark is a character like any other.
export const fromUtf8 = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// Whether two byte strings are alike, in a time that depends on their lengths alone.
export function alike(first, second) {
  if (first.length !== second.length) return false;
  let difference = 0;
  for (let i = 0; i < first.length; i++) difference |= first[i] ^ second[i];
  return difference === 0;
}

export function startsWith(bytes, start) {
  return bytes.length >= start.length && start.every((byte, i) => byte === bytes[i]);
}

// An unsigned little-endian integer of up to 8 bytes; a BigInt, as it may exceed 2^53.
export function littleEndian(bytes) {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  return value;
}

export function u64(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

// Bytes of base64, in pieces, so that no long text is copied as a whole.
export function fromBase64(text) {
  const clean = text.trim();
  const padding = clean.endsWith("==") ? 2 : clean.endsWith("=") ? 1 : 0;
  const whole = new Uint8Array((clean.length / 4) * 3 - padding);
  const piece = 1 << 20;
  for (let start = 0, at = 0; start < clean.length; start += piece) {
    const binary = atob(clean.slice(start, start + piece));
    for (let i = 0; i < binary.length; i++) whole[at++] = binary.charCodeAt(i);
  }
  return whole;
}
