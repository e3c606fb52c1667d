// Everything that the player takes from others: primitives that WebCrypto lacks, or offers only asynchronously.
export { chacha20, chacha20poly1305 } from "@noble/ciphers/chacha.js";
export { sha256 } from "@noble/hashes/sha2.js";
export { shake256 } from "@noble/hashes/sha3.js";
export { argon2id } from "hash-wasm";
