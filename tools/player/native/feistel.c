// The rounds of the feistel generator in exact integers: neuralcipher/generators/feistel.py.
#include "common.h"

#define PAD 4
#define DILATION 3
#define ROUNDER 0x4B400000
#define MULTIPLIER 0x9E3779B2u

// Sums of products at one pixel. in: rows of `stride` pixels of `inputs` (even) int16. weights: (9, inputs / 2,
// outputs / 4, 4, 2).
INLINE v128_t convolve(const int16_t *in, size_t stride, int inputs, int step, const int16_t *weights, int outputs,
                       int vector) {
  v128_t sum = wasm_i32x4_splat(0);
  for (int tap = 0; tap < 9; tap++) {
    const int16_t *from = in + ((size_t)(tap / 3) * step * stride + (size_t)(tap % 3) * step) * inputs;
    const int16_t *w = weights + (size_t)tap * inputs * outputs + vector * 8;
    for (int pair = 0; pair < inputs / 2; pair++, w += 2 * outputs) {
      sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_v128_load32_splat(from + 2 * pair), wasm_v128_load(w)));
    }
  }
  return sum;
}

// target += U(source), both `size` bytes. gather: words of `word` bytes for every word of the padded grid.
// hidden: rounded up to 4s. spread, between: room for the padded grid and for what is hidden, in int16.
EXPORT(couple)
void couple(const uint8_t *source, uint8_t *target, int size, const int32_t *gather, int word, int height, int width,
            int channels, int hidden, const int16_t *first, const int16_t *second, int16_t *spread, int16_t *between) {
  size_t cells = (size_t)(height + 2 * PAD) * (width + 2 * PAD) * channels;
  for (size_t i = 0; i < cells / word; i++) {
    for (int k = 0; k < word; k++) spread[i * word + k] = source[(size_t)gather[i] * word + k];
  }
  int rows = height + 2 * DILATION, columns = width + 2 * DILATION;
  for (int y = 0; y < rows; y++) {
    for (int x = 0; x < columns; x++) {
      const int16_t *in = spread + ((size_t)y * (columns + 2) + x) * channels;
      int16_t *to = between + ((size_t)y * columns + x) * hidden;
      for (int v = 0; v < hidden / 4; v++) {
        v128_t h = wasm_i32x4_add(convolve(in, columns + 2, channels, 1, first, hidden, v), wasm_i32x4_splat(ROUNDER));
        h = wasm_i32x4_add(h, wasm_i32x4_mul(wasm_i32x4_mul(h, h), wasm_u32x4_splat(MULTIPLIER)));
        h = wasm_i32x4_shr(h, 24);
        wasm_v128_store64_lane(to + 4 * v, wasm_i16x8_narrow_i32x4(h, h), 0);
      }
    }
  }
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x++) {
      const int16_t *in = between + ((size_t)y * columns + x) * hidden;
      for (int v = 0; v < channels / 4; v++) {
        size_t at = ((size_t)y * width + x) * channels + 4 * v;
        v128_t u = wasm_i32x4_shr(convolve(in, columns, hidden, DILATION, second, channels, v), 4);
        int32_t out[4];
        wasm_v128_store(out, u);
        for (int k = 0; k < 4 && at + k < (size_t)size; k++) target[at + k] += (uint8_t)out[k];
      }
    }
  }
}
