// The entropy model's networks: two layers in exact integers. Features are 0..127 and weights 16 bits; the sums of the
// networks that ship stay below 2^29, which the page checks when it packs them.
#pragma once

#include "common.h"

// first: (pairs of features, hidden / 4, 4, 2). second: (outputs, hidden rounded up to 8s). Biases already scaled.
typedef struct {
  const int16_t *first;
  const int32_t *first_bias;  // (rows, hidden)
  const int16_t *second;
  const int32_t *second_bias;  // (rows, outputs)
} Network;

INLINE int32_t sum_lanes(v128_t x) {
  x = wasm_i32x4_add(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
  x = wasm_i32x4_add(x, wasm_i32x4_shuffle(x, x, 1, 0, 3, 2));
  return wasm_i32x4_extract_lane(x, 0);
}

// features: (2 * pairs) int16. The sizes are constants where this is used.
INLINE void infer(const Network *net, const int16_t *features, int pairs, int hidden, int outputs, int row,
                  int32_t *logits) {
  v128_t sums[6], packed[3];
  int vectors = hidden / 4;
  for (int v = 0; v < vectors; v++) sums[v] = wasm_v128_load(net->first_bias + row * hidden + 4 * v);
  for (int p = 0; p < pairs; p++) {
    v128_t pair = wasm_v128_load32_splat(features + 2 * p);
    for (int v = 0; v < vectors; v++) {
      v128_t weights = wasm_v128_load(net->first + (p * vectors + v) * 8);
      sums[v] = wasm_i32x4_add(sums[v], wasm_i32x4_dot_i16x8(pair, weights));
    }
  }
  const v128_t zero = wasm_i32x4_splat(0), most = wasm_i32x4_splat(32767 * 64);
  for (int v = 0; v < vectors; v++) {
    sums[v] = wasm_i32x4_shr(wasm_i32x4_min(wasm_i32x4_max(sums[v], zero), most), 6);
  }
  int halves = (vectors + 1) / 2;
  for (int v = 0; v < halves; v++) {
    packed[v] = wasm_i16x8_narrow_i32x4(sums[2 * v], 2 * v + 1 < vectors ? sums[2 * v + 1] : zero);
  }
  for (int o = 0; o < outputs; o++) {
    v128_t total = zero;
    for (int v = 0; v < halves; v++) {
      v128_t weights = wasm_v128_load(net->second + (o * halves + v) * 8);
      total = wasm_i32x4_add(total, wasm_i32x4_dot_i16x8(packed[v], weights));
    }
    logits[o] = (sum_lanes(total) + net->second_bias[row * outputs + o]) >> 8;
  }
}
