// From integers to frames, in float32: neuralcipher/flows/latent/transform.py, warp.py and synthesis.py. Frames are
// (H, W, 4), three colours and a zero.
#include "half.h"

#define BORDER 16
#define BLOCK 8

static float basis[8][8];  // (frequency, position)

EXPORT(cosines) float *cosines(void) { return &basis[0][0]; }

// The inverse transform of latents: index (block * 192 + plane * 64 + v * 8 + u) and value, `count` of each, in any
// order. heads: (h * w) and next: (count), to be written over. out: (8h, 8w, 4).
EXPORT(inverse_transform)
void inverse_transform(const uint32_t *index, const int16_t *value, int count, float step, int h, int w,
                       int32_t *heads, int32_t *next, float *out) {
  for (int block = 0; block < h * w; block++) heads[block] = -1;
  for (int i = 0; i < count; i++) {
    uint32_t block = index[i] / 192;
    next[i] = heads[block];
    heads[block] = i;
  }
  const v128_t zero = wasm_f32x4_splat(0);
  size_t row = (size_t)w * 8 * 4;
  for (int block = 0; block < h * w; block++) {
    float *corner = out + (size_t)(block / w) * 8 * row + (size_t)(block % w) * 32;
    if (heads[block] < 0) {
      for (int y = 0; y < 8; y++) {
        for (int x = 0; x < 8; x++) wasm_v128_store(corner + y * row + x * 4, zero);
      }
      continue;
    }
    float spectrum[64][4] __attribute__((aligned(16))) = {0};
    uint32_t used = 0;
    for (int i = heads[block]; i >= 0; i = next[i]) {
      uint32_t at = index[i] % 192;
      spectrum[at & 63][at >> 6] = value[i] * step;
      used |= 1u << ((at & 63) >> 3);
    }
    v128_t lines[8][8], sums[8];
    for (int v = 0; v < 8; v++) {
      if (!(used >> v & 1)) continue;
      for (int x = 0; x < 8; x++) lines[v][x] = zero;
      for (int u = 0; u < 8; u++) {
        v128_t coefficient = wasm_v128_load(spectrum[v * 8 + u]);
        for (int x = 0; x < 8; x++) {
          lines[v][x] = wasm_f32x4_add(lines[v][x], wasm_f32x4_mul(coefficient, wasm_f32x4_splat(basis[u][x])));
        }
      }
    }
    for (int y = 0; y < 8; y++) {
      for (int x = 0; x < 8; x++) sums[x] = zero;
      for (int v = 0; v < 8; v++) {
        if (!(used >> v & 1)) continue;
        v128_t weight = wasm_f32x4_splat(basis[v][y]);
        for (int x = 0; x < 8; x++) sums[x] = wasm_f32x4_add(sums[x], wasm_f32x4_mul(lines[v][x], weight));
      }
      for (int x = 0; x < 8; x++) wasm_v128_store(corner + y * row + x * 4, sums[x]);
    }
  }
}

INLINE v128_t eight_taps(const v128_t *t) {
  v128_t inner = wasm_f32x4_mul(wasm_f32x4_add(t[3], t[4]), wasm_f32x4_splat(40 / 64.0f));
  v128_t second = wasm_f32x4_mul(wasm_f32x4_add(t[2], t[5]), wasm_f32x4_splat(11 / 64.0f));
  v128_t third = wasm_f32x4_mul(wasm_f32x4_add(t[1], t[6]), wasm_f32x4_splat(4 / 64.0f));
  v128_t outer = wasm_f32x4_mul(wasm_f32x4_add(t[0], t[7]), wasm_f32x4_splat(1 / 64.0f));
  return wasm_f32x4_add(wasm_f32x4_sub(inner, second), wasm_f32x4_sub(third, outer));
}

EXPORT(reference_bytes) size_t reference_bytes(int height, int width) {
  return (size_t)(height + 2 * BORDER) * (width + 2 * BORDER) * 4 * 4 * 2;
}

// A frame as others are predicted from it: (2 (H + 32), 2 (W + 32), 4) float16 at half pixels. columns: room for
// 2 * W * 4 float16.
EXPORT(make_reference)
void make_reference(const float *frame, int height, int width, uint16_t *columns, uint16_t *out) {
  size_t stride = (size_t)2 * (width + 2 * BORDER) * 4;
  for (int row = 0; row < height + 2 * BORDER; row++) {
    for (int half = 0; half < 2; half++) {
      const float *rows[8];
      for (int tap = 0; tap < 8; tap++) {
        rows[tap] = frame + (size_t)clamp(row - BORDER + tap - 3, 0, height - 1) * width * 4;
      }
      for (int x = 0; x < width; x++) {
        v128_t t[8];
        if (half) {
          for (int tap = 0; tap < 8; tap++) t[tap] = wasm_v128_load(rows[tap] + x * 4);
          store_half(columns + x * 4, eight_taps(t));
        } else {
          store_half(columns + x * 4, wasm_v128_load(rows[3] + x * 4));
        }
      }
      uint16_t *line = out + (size_t)(2 * row + half) * stride;
      v128_t t[8];
      for (int tap = 1; tap < 8; tap++) {
        t[tap] = load_half(columns + clamp(tap - 4 - BORDER, 0, width - 1) * 4);
      }
      for (int column = 0; column < width + 2 * BORDER; column++) {
        for (int tap = 0; tap < 7; tap++) t[tap] = t[tap + 1];
        t[7] = load_half(columns + clamp(column - BORDER + 4, 0, width - 1) * 4);
        __builtin_memcpy(line + column * 8, columns + clamp(column - BORDER, 0, width - 1) * 4, 8);
        store_half(line + column * 8 + 4, eight_taps(t));
      }
    }
  }
}

typedef struct {
  const uint16_t *first, *second;
} Places;

// Where the two values lie whose mean is the pixel at y, x, in quarter pixels.
INLINE Places find(const uint16_t *reference, int height, int width, int y, int x) {
  y = clamp(y + 4 * BORDER, 0, 4 * (height + 2 * BORDER - BLOCK));
  x = clamp(x + 4 * BORDER, 0, 4 * (width + 2 * BORDER - BLOCK));
  int left = x >> 1, right = (x + 1) >> 1, above = y >> 1, below = (y + 1) >> 1;
  // a quarter in both directions lies between two values that are half a pixel off in one direction each
  int swap = (x & y & 1) & ~(left + above);
  size_t stride = (size_t)2 * (width + 2 * BORDER);
  Places places = {reference + ((size_t)above * stride + left + swap) * 4,
                   reference + ((size_t)below * stride + right - swap) * 4};
  return places;
}

// Add the reference moved by motion (2, h, w), rows first, in quarter pixels, to out (8h, 8w, 4). weights: by mode.
EXPORT(predict)
void predict(const uint16_t *reference, const int16_t *motion, const uint8_t *mode, const float *weights, int h, int w,
             float *out) {
  int height = h * 8, width = w * 8;
  size_t stride = (size_t)2 * (width + 2 * BORDER) * 4 * 2;  // to the next whole row
  float ramp[2][8];
  for (int i = 0; i < 8; i++) {
    ramp[1][i] = (i + 0.5f) / 8;
    ramp[0][i] = 1 - ramp[1][i];
  }
  for (int row = 0; row <= h; row++) {
    for (int column = 0; column <= w; column++) {
      int moves[4][2], alike = 1;
      float weight[4];
      for (int i = 0; i < 4; i++) {
        int block = clamp(row - 1 + (i >> 1), 0, h - 1) * w + clamp(column - 1 + (i & 1), 0, w - 1);
        moves[i][0] = motion[block];
        moves[i][1] = motion[h * w + block];
        weight[i] = weights[mode[block]] / 2;
        alike &= moves[i][0] == moves[0][0] && moves[i][1] == moves[0][1] && weight[i] == weight[0];
      }
      if (alike && weight[0] == 0) continue;
      int top = row * 8 - 4, left = column * 8 - 4;
      int y0 = top < 0 ? 4 : 0, y1 = top + 8 > height ? 4 : 8, x0 = left < 0 ? 4 : 0, x1 = left + 8 > width ? 4 : 8;
      for (int corner = 0; corner < (alike ? 1 : 4); corner++) {
        if (weight[corner] == 0) continue;
        Places at = find(reference, height, width, top * 4 + moves[corner][0], left * 4 + moves[corner][1]);
        for (int y = y0; y < y1; y++) {
          const uint16_t *first = at.first + y * stride, *second = at.second + y * stride;
          float *to = out + ((size_t)(top + y) * width + left) * 4;
          float line = alike ? weight[0] : weight[corner] * ramp[corner >> 1][y];
          for (int x = x0; x < x1; x++) {
            v128_t scale = wasm_f32x4_splat(alike ? line : line * ramp[corner & 1][x]);
            v128_t both = wasm_f32x4_add(load_half(first + x * 8), load_half(second + x * 8));
            wasm_v128_store(to + x * 4, wasm_f32x4_add(wasm_v128_load(to + x * 4), wasm_f32x4_mul(both, scale)));
          }
        }
      }
    }
  }
}

// What the repair looks at: (H/2 + 2, W/2 + 2, 24) with a border of zeros, of each square of 2x2 pixels the colours of
// the frame and then those of its residual.
EXPORT(fold)
void fold(const float *frame, const float *residual, int height, int width, float *out) {
  int h = height / 2, w = width / 2;
  __builtin_memset(out, 0, (size_t)(h + 2) * (w + 2) * 24 * 4);
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x++) {
      float *to = out + ((size_t)(y / 2 + 1) * (w + 2) + x / 2 + 1) * 24 + ((y & 1) * 2 + (x & 1)) * 3;
      size_t from = ((size_t)y * width + x) * 4;
      for (int c = 0; c < 3; c++) {
        to[c] = frame[from + c];
        to[12 + c] = residual[from + c];
      }
    }
  }
}

EXPORT(add) void add(float *to, const float *from, uint32_t count) {
  for (uint32_t i = 0; i < count; i += 4) {
    wasm_v128_store(to + i, wasm_f32x4_add(wasm_v128_load(to + i), wasm_v128_load(from + i)));
  }
}
