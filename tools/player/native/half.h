// float16 in four lanes, as IEEE 754 rounds it; values beyond its range become its largest.
#pragma once

#include "common.h"

// Four float16 at `from` as float32. The bits, moved into place, are the number times 2^-112.
INLINE v128_t load_half(const uint16_t *from) {
  v128_t bits = wasm_v128_and(wasm_i32x4_shl(wasm_i32x4_load16x4(from), 13), wasm_u32x4_splat(0x8fffe000));
  return wasm_f32x4_mul(bits, wasm_f32x4_splat(0x1p112f));
}

INLINE void store_half(uint16_t *to, v128_t x) {
  x = wasm_f32x4_pmin(wasm_f32x4_pmax(x, wasm_f32x4_splat(-65504.0f)), wasm_f32x4_splat(65504.0f));
  v128_t bits = wasm_f32x4_mul(x, wasm_f32x4_splat(0x1p-112f));
  v128_t sign = wasm_v128_and(wasm_u32x4_shr(bits, 16), wasm_u32x4_splat(0x8000));
  bits = wasm_v128_and(bits, wasm_u32x4_splat(0x7fffffff));
  v128_t odd = wasm_v128_and(wasm_u32x4_shr(bits, 13), wasm_u32x4_splat(1));
  bits = wasm_u32x4_shr(wasm_i32x4_add(wasm_i32x4_add(bits, odd), wasm_u32x4_splat(0xfff)), 13);
  bits = wasm_v128_or(bits, sign);
  bits = wasm_i8x16_shuffle(bits, bits, 0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13);
  wasm_v128_store64_lane(to, bits, 0);
}
