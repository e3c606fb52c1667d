// What the files of the player's codec share. Everything is exact integers, or float32 where a comment says so.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define INLINE static inline __attribute__((always_inline))

INLINE int32_t clamp(int32_t value, int32_t low, int32_t high) {
  return value < low ? low : value > high ? high : value;
}

// ans.c
void read_bits(const uint16_t *probabilities, uint32_t count, uint8_t *bits);
void read_plain(const uint8_t *widths, uint32_t count, int32_t *values);
int read_symbol(const int32_t *counts, int alphabet);

// tables that the page computes once, see tables.c
extern uint16_t probability[4095];  // P(1) in 2^-16 of the logits -2047..2047
extern uint8_t log_table[1024];     // floor(16 log2(1 + x)), at most 127
extern int32_t run_table[33 * 15];
