// The network that repairs a decoded frame, and its colours, in float32: neuralcipher/flows/latent/network.py.
#include "common.h"

#define IN 24
#define HIDDEN 16
#define OUT 12

INLINE v128_t leaky(v128_t x) { return wasm_f32x4_pmax(x, wasm_f32x4_mul(x, wasm_f32x4_splat(0.1f))); }

// One row of a 3x3 convolution, two pixels at a time. in: at the tap above and left of the first pixel, rows of
// `stride` floats. weights: (3, 3, inputs, 4 vectors).
INLINE void convolve(const float *in, size_t stride, int inputs, int vectors, const float *weights, const float *bias,
                     int count, int activate, float *out) {
  for (int x = 0; x < count; x += 2) {
    v128_t a[4], b[4];
    for (int v = 0; v < vectors; v++) a[v] = b[v] = wasm_v128_load(bias + 4 * v);
    const float *w = weights;
    for (int dy = 0; dy < 3; dy++) {
      const float *from = in + dy * stride + (size_t)x * inputs;
      for (int k = 0; k < 3 * inputs; k++, w += 4 * vectors) {
        v128_t first = wasm_v128_load32_splat(from + k), second = wasm_v128_load32_splat(from + k + inputs);
        for (int v = 0; v < vectors; v++) {
          v128_t weight = wasm_v128_load(w + 4 * v);
          a[v] = wasm_f32x4_add(a[v], wasm_f32x4_mul(first, weight));
          b[v] = wasm_f32x4_add(b[v], wasm_f32x4_mul(second, weight));
        }
      }
    }
    for (int v = 0; v < vectors; v++) {
      wasm_v128_store(out + (x * vectors + v) * 4, activate ? leaky(a[v]) : a[v]);
      wasm_v128_store(out + ((x + 1) * vectors + v) * 4, activate ? leaky(b[v]) : b[v]);
    }
  }
}

EXPORT(repair_bytes) size_t repair_bytes(int h, int w) {
  return ((size_t)2 * (h + 2) * (w + 2) * HIDDEN + (size_t)w * OUT) * 4 + 64;
}

INLINE uint8_t level_of(float x) { return x >= 255 ? 255 : x > 0 ? (uint8_t)x : 0; }

// in: (h + 2, w + 2, 24) as `fold` writes it, w even. bias: 16 of the first layer. weights: first, middle, its bias,
// last, its bias. turn: 9 and 3, from the three colours to 0..255. rows, columns: of the picture. scratch:
// `repair_bytes`. out: (rows, columns, 4) bytes of RGBA. Without weights the frame is shown as it is.
EXPORT(repair)
void repair(const float *in, int h, int w, const float *bias, const float *weights, const float *turn, int rows,
            int columns, float *scratch, uint8_t *out) {
  size_t hidden = (size_t)(w + 2) * HIDDEN;
  float *one = scratch, *two = one + (h + 2) * hidden, *line = two + (h + 2) * hidden;
  const float *middle = weights + 9 * IN * HIDDEN, *last = middle + 9 * HIDDEN * HIDDEN + HIDDEN;
  if (weights) {
    __builtin_memset(scratch, 0, 2 * (h + 2) * hidden * 4);
    for (int y = 0; y < h; y++) {
      convolve(in + (size_t)y * (w + 2) * IN, (size_t)(w + 2) * IN, IN, 4, weights, bias, w, 1,
               one + (y + 1) * hidden + HIDDEN);
    }
    for (int y = 0; y < h; y++) {
      convolve(one + y * hidden, hidden, HIDDEN, 4, middle, middle + 9 * HIDDEN * HIDDEN, w, 1,
               two + (y + 1) * hidden + HIDDEN);
    }
  } else {
    __builtin_memset(line, 0, (size_t)w * OUT * 4);
  }
  for (int y = 0; y < h; y++) {
    if (weights) convolve(two + y * hidden, hidden, HIDDEN, 3, last, last + 9 * HIDDEN * OUT, w, 0, line);
    for (int x = 0; x < w; x++) {
      const float *frame = in + ((size_t)(y + 1) * (w + 2) + x + 1) * IN;
      for (int i = 0; i < 4; i++) {
        int top = 2 * y + (i >> 1), left = 2 * x + (i & 1);
        if (top >= rows || left >= columns) continue;
        float c0 = frame[i * 3] + line[x * OUT + i * 3], c1 = frame[i * 3 + 1] + line[x * OUT + i * 3 + 1];
        float c2 = frame[i * 3 + 2] + line[x * OUT + i * 3 + 2];
        uint8_t *to = out + ((size_t)top * columns + left) * 4;
        for (int k = 0; k < 3; k++) {
          to[k] = level_of(turn[9 + k] + turn[3 * k] * c0 + turn[3 * k + 1] * c1 + turn[3 * k + 2] * c2);
        }
        to[3] = 255;
      }
    }
  }
}
