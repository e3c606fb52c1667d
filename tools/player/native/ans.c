// Asymmetric numeral systems (Duda, 2013) as the package `constriction` has them: words of 32 bits, a state of 64, and
// probabilities of 24 bits. A probability is a quotient of two integers, which IEEE 754 rounds the same everywhere.
#include "common.h"

#define PRECISION 24
#define WHOLE (1u << PRECISION)

static uint64_t state;
static const uint32_t *words;
static uint32_t left;

// Begin a message of `count` words, which is read from its end.
EXPORT(ans_begin) void ans_begin(const uint32_t *data, uint32_t count) {
  while (count && !data[count - 1]) count--;
  words = data;
  left = count;
  state = 0;
  while (left) {
    state = state << 32 | words[--left];
    if (state >> 32) break;
  }
}

INLINE void consume(uint32_t quantile, uint32_t low, uint32_t probability) {
  state = (state >> PRECISION) * probability + (quantile - low);
  if (!(state >> 32) && left) state = state << 32 | words[--left];
}

INLINE int read_bit(uint32_t p) {
  uint32_t quantile = (uint32_t)state & (WHOLE - 1);
  uint32_t low = (uint32_t)((uint64_t)(65536 - p) * (WHOLE - 2) >> 16) + 1;
  int bit = quantile >= low;
  consume(quantile, bit ? low : 0, bit ? WHOLE - low : low);
  return bit;
}

// Bits, each with its own P(1) in 2^-16.
EXPORT(read_bits) void read_bits(const uint16_t *probabilities, uint32_t count, uint8_t *bits) {
  for (uint32_t i = 0; i < count; i++) bits[i] = (uint8_t)read_bit(probabilities[i]);
}

// `widths[i]` bits that are as likely 0 as 1, least significant first, for each value.
EXPORT(read_plain) void read_plain(const uint8_t *widths, uint32_t count, int32_t *values) {
  for (uint32_t i = 0; i < count; i++) {
    int32_t value = 0;
    for (int bit = 0; bit < widths[i]; bit++) value |= read_bit(32768) << bit;
    values[i] = value;
  }
}

// One symbol of an alphabet of at most 32 with these counts.
int read_symbol(const int32_t *counts, int alphabet) {
  double parts[32], total = 0, sum = 0, cumulative = 0;
  for (int k = 0; k < alphabet; k++) total += counts[k];
  for (int k = 0; k < alphabet; k++) {
    parts[k] = counts[k] / total;
    sum += parts[k];
  }
  double scale = (double)(WHOLE - alphabet) / sum;
  uint32_t quantile = (uint32_t)state & (WHOLE - 1), low = 0;
  for (int symbol = 0; symbol < alphabet - 1; symbol++) {
    cumulative += parts[symbol];
    uint32_t high = (uint32_t)(cumulative * scale) + symbol + 1;
    if (high > quantile) {
      consume(quantile, low, high - low);
      return symbol;
    }
    low = high;
  }
  consume(quantile, low, WHOLE - low);
  return alphabet - 1;
}

// Symbols, each with the row tables[context] of (contexts, alphabet) counts.
EXPORT(read_symbols)
void read_symbols(const int32_t *contexts, uint32_t count, const int32_t *tables, int alphabet, uint8_t *symbols) {
  for (uint32_t i = 0; i < count; i++) {
    symbols[i] = (uint8_t)read_symbol(tables + (size_t)contexts[i] * alphabet, alphabet);
  }
}
