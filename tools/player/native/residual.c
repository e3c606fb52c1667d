// The latents of a batch of frames out of a message: neuralcipher/flows/latent/residual.py and features.py, in the same
// order and the same integers. Coefficients are 8x8 cosines, (3 colours, 64) a block, in twelve bands, each in two
// passes over a chequerboard of blocks.
#include "networks.h"

#define BANDS 12
#define ALL_LUMA 12
#define ALL_CHROMA 13
#define NOTHING 14
#define SUMS 16         // of a block: bands, all luma, all chroma, nothing
#define COEFFICIENTS 192
#define NONE 192        // a coefficient that is always 0
#define STRIDE 200      // of a block's magnitudes
#define LARGEST 1023    // magnitudes from here on look alike
#define FEATURES 20
#define ON 64
#define LONGEST_RUN 14

typedef struct {
  uint8_t own, lower[3], two[4], others[2];
} Taps;

static struct {
  int luma, size, same[2], twins, twin[BANDS];
  uint8_t coefficient[108];
  Taps taps[108];
} bands[BANDS];

static Network skip_network, flag_networks[BANDS], level_networks[BANDS];

static int frames, height, width, row_of, quality;
static int16_t *magnitudes;
static int32_t *sums;
static uint8_t *known;        // (blocks, 8): 7 features that bands do not change
static const int32_t *activity;  // (blocks, 2 references, bands)
static int32_t *flat;         // of a block, in the padded planes
static int32_t *places;       // of a pass
static int16_t *features;     // (blocks of a pass, 20)
static uint16_t *chances;
static uint8_t *bits;
static int32_t *chosen;       // flagged blocks of a pass, as numbers in it
static int16_t *above, *more; // logits, (coefficients, flagged blocks)
static uint32_t *where;
static int16_t *levels;

typedef struct {
  uint32_t at;  // block * 192 + coefficient, blocks counted over the batch
  int32_t level;
} Event;
static Event *events;
static uint32_t event_count;

EXPORT(events_at) Event *events_at(void) { return events; }

static void band_of(int index, int first_plane, int last_plane, int low, int high) {
  int size = 0;
  bands[index].luma = first_plane == 0;
  for (int plane = first_plane; plane <= last_plane; plane++) {
    for (int diagonal = low; diagonal <= high; diagonal++) {
      for (int v = 0; v < 8; v++) {
        int u = diagonal - v;
        if (u < 0 || u > 7) continue;
        int k = v * 8 + u, own = plane * 64 + k, two = 0;
        Taps *taps = &bands[index].taps[size];
        bands[index].coefficient[size++] = (uint8_t)own;
        taps->own = (uint8_t)own;
        taps->lower[0] = u ? own - 1 : NONE;
        taps->lower[1] = v ? own - 8 : NONE;
        taps->lower[2] = u && v ? own - 9 : NONE;
        static const uint8_t steps[4][2] = {{0, 2}, {2, 0}, {1, 2}, {2, 1}};
        for (int i = 0; i < 4; i++) {
          if (v >= steps[i][0] && u >= steps[i][1]) taps->two[two++] = own - steps[i][0] * 8 - steps[i][1];
        }
        while (two < 4) taps->two[two++] = NONE;
        taps->others[0] = plane ? k : NONE;
        taps->others[1] = plane == 2 ? 64 + k : NONE;
      }
    }
  }
  bands[index].size = size;
}

// Build the bands. networks: 25 structures of 4 pointers, the skip network and then flags and levels of each band.
EXPORT(residual_setup) void residual_setup(const Network *networks) {
  static const uint8_t plan[BANDS][4] = {{0, 0, 0, 0}, {0, 0, 1, 1}, {1, 2, 0, 0}, {0, 0, 2, 2},
                                         {1, 2, 1, 1}, {0, 0, 3, 3}, {0, 0, 4, 4}, {0, 0, 5, 6},
                                         {1, 2, 2, 3}, {0, 0, 7, 8}, {0, 0, 9, 14}, {1, 2, 4, 14}};
  for (int i = 0; i < BANDS; i++) band_of(i, plan[i][0], plan[i][1], plan[i][2], plan[i][3]);
  for (int i = 0; i < BANDS; i++) {
    int last[2] = {NOTHING, NOTHING}, twins = 0;
    for (int j = 0; j < i; j++) {
      if (bands[j].luma == bands[i].luma) {
        last[1] = last[0];
        last[0] = j;
      }
      if (bands[j].luma && plan[j][2] <= plan[i][3] && plan[i][2] <= plan[j][3]) bands[i].twin[twins++] = j;
    }
    if (!twins) bands[i].twin[twins++] = 0;
    bands[i].twins = twins;
    bands[i].same[0] = last[0];
    bands[i].same[1] = last[1];
    flag_networks[i] = networks[1 + 2 * i];
    level_networks[i] = networks[2 + 2 * i];
  }
  skip_network = networks[0];
}

INLINE int logarithm(int32_t x) { return log_table[x > LARGEST ? LARGEST : x]; }
INLINE uint16_t chance(int32_t logit) { return probability[clamp(logit, -2047, 2047) + 2047]; }

static uint8_t *arena;
static void *take(size_t bytes) {
  void *found = arena;
  arena += (bytes + 15) & ~(size_t)15;
  return found;
}

static void flag_features(int band, int place, int16_t *found) {
  const int32_t *here = sums + (size_t)flat[place] * SUMS;
  const int32_t *l = here - SUMS, *r = here + SUMS, *up = here - row_of * SUMS, *down = here + row_of * SUMS;
  const int32_t *ul = up - SUMS, *ur = up + SUMS, *dl = down - SUMS, *dr = down + SUMS;
  const int32_t *seen = activity + (size_t)place * 2 * BANDS;
  int32_t twins = 0;
  for (int i = 0; i < bands[band].twins; i++) twins += here[bands[band].twin[i]];
  found[0] = logarithm(l[band] + r[band]);
  found[1] = logarithm(up[band] + down[band]);
  found[2] = logarithm(here[ALL_LUMA]);
  found[3] = logarithm(here[ALL_CHROMA]);
  found[4] = logarithm(here[bands[band].same[0]]);
  found[5] = logarithm(here[bands[band].same[1]]);
  found[6] = logarithm(l[ALL_LUMA] + r[ALL_LUMA] + up[ALL_LUMA] + down[ALL_LUMA]);
  found[7] = logarithm(ul[ALL_LUMA] + ur[ALL_LUMA] + dl[ALL_LUMA] + dr[ALL_LUMA]);
  found[8] = logarithm(l[ALL_CHROMA] + r[ALL_CHROMA] + up[ALL_CHROMA] + down[ALL_CHROMA]);
  found[9] = logarithm(twins);
  found[10] = logarithm(seen[band]);
  found[11] = logarithm(seen[BANDS + band]);
  for (int i = 0; i < 7; i++) found[12 + i] = known[(size_t)place * 8 + i];
  found[19] = logarithm(ul[band] + ur[band] + dl[band] + dr[band]);
}

static void level_features(const Taps *taps, int place, int16_t *found) {
  const int16_t *here = magnitudes + (size_t)flat[place] * STRIDE;
  const int16_t *up = here - row_of * STRIDE, *down = here + row_of * STRIDE;
  int own = taps->own;
  found[0] = logarithm(here[own - STRIDE] + here[own + STRIDE]);
  found[1] = logarithm(up[own] + down[own]);
  found[2] = logarithm(here[taps->lower[0]]);
  found[3] = logarithm(here[taps->lower[1]]);
  found[4] = logarithm(here[taps->lower[2]]);
  found[5] = logarithm(here[taps->two[0]] + here[taps->two[1]] + here[taps->two[2]] + here[taps->two[3]]);
  found[6] = logarithm(here[taps->others[0]]);
  found[7] = logarithm(here[taps->others[1]]);
  found[8] = logarithm(up[own - STRIDE] + up[own + STRIDE] + down[own - STRIDE] + down[own + STRIDE]);
}

static void put(int place, int band, int coefficient, int32_t level) {
  int32_t size = level < 0 ? -level : level;
  int32_t *total = sums + (size_t)flat[place] * SUMS;
  magnitudes[(size_t)flat[place] * STRIDE + coefficient] = (int16_t)(size > LARGEST ? LARGEST : size);
  total[band] += size;
  total[bands[band].luma ? ALL_LUMA : ALL_CHROMA] += size;
}

// Room for so many more events: they lie at the end of the memory, which grows.
static void make_room(uint32_t count) {
  size_t end = (size_t)(events + event_count + count), pages = __builtin_wasm_memory_size(0);
  if (end > pages << 16) __builtin_wasm_memory_grow(0, (end + 65535 - (pages << 16)) / 65536 + 16);
}

static void note(int place, int coefficient, int32_t level) {
  events[event_count].at = (uint32_t)place * COEFFICIENTS + coefficient;
  events[event_count++].level = level;
}

// Sizes of `count` levels that are not zero, at where[i] in the logits, with the signs that were read before.
static void read_sizes(uint32_t count) {
  for (uint32_t i = 0; i < count; i++) chances[i] = chance(above[where[i]]);
  read_bits(chances, count, bits);
  uint32_t large = 0, longest = 0;
  uint32_t *at = where + count, *tail = at + count;  // room for three lists
  for (uint32_t i = 0; i < count; i++) {
    if (bits[i]) at[large++] = i;
  }
  for (uint32_t i = 0; i < count; i++) levels[i] *= 1 + bits[i];
  for (uint32_t j = 0; j < large; j++) {
    int row = (clamp(more[where[at[j]]], -512, 512) + 512 + 16) / 32;
    int run = read_symbol(run_table + row * (LONGEST_RUN + 1), LONGEST_RUN + 1);
    levels[at[j]] = (int16_t)(levels[at[j]] < 0 ? levels[at[j]] - run : levels[at[j]] + run);
    if (run == LONGEST_RUN) tail[longest++] = at[j];
  }
  static const int32_t tails[11] = {1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1};
  uint8_t *kinds = bits;
  for (uint32_t j = 0; j < longest; j++) kinds[j] = (uint8_t)read_symbol(tails, 11);
  for (uint32_t j = 0; j < longest; j++) {
    uint8_t wide = 3 + kinds[j];
    int32_t rest;
    read_plain(&wide, 1, &rest);
    int32_t size = 2 + LONGEST_RUN + 8 * ((1 << kinds[j]) - 1) + rest;
    levels[tail[j]] = (int16_t)(levels[tail[j]] < 0 ? -size : size);
  }
}

static void read_band(int band, const int32_t *pass, uint32_t count) {
  int32_t logits[3];
  for (uint32_t i = 0; i < count; i++) {
    flag_features(band, pass[i], features + i * FEATURES);
    infer(&flag_networks[band], features + i * FEATURES, 10, 16, 1, 0, logits);
    chances[i] = chance(logits[0]);
  }
  read_bits(chances, count, bits);
  uint32_t flagged = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (bits[i]) chosen[flagged++] = (int32_t)i;
  }
  if (!flagged) return;
  for (uint32_t j = 0; j < flagged; j++) {
    int16_t found[FEATURES];
    const int16_t *flags = features + (size_t)chosen[j] * FEATURES;
    found[9] = flags[2], found[10] = flags[6], found[11] = flags[0], found[12] = flags[1];
    found[13] = flags[10] > flags[11] ? flags[10] : flags[11];
    found[14] = flags[12], found[15] = flags[16], found[16] = flags[17];
    found[17] = flags[15], found[18] = flags[4], found[19] = flags[18];
    for (int c = 0; c < bands[band].size; c++) {
      level_features(&bands[band].taps[c], pass[chosen[j]], found);
      infer(&level_networks[band], found, 10, 24, 3, c, logits);
      size_t at = (size_t)c * flagged + j;
      chances[at] = chance(logits[0]);
      above[at] = (int16_t)clamp(logits[1], -2047, 2047);
      more[at] = (int16_t)clamp(logits[2], -512, 512);
    }
  }
  uint32_t total = flagged * bands[band].size, nonzero = 0;
  read_bits(chances, total, bits);
  for (uint32_t i = 0; i < total; i++) {
    if (bits[i]) where[nonzero++] = i;
  }
  for (uint32_t i = 0; i < nonzero; i++) chances[i] = 32768;
  read_bits(chances, nonzero, bits);
  for (uint32_t i = 0; i < nonzero; i++) levels[i] = bits[i] ? -1 : 1;
  read_sizes(nonzero);
  make_room(nonzero);
  for (uint32_t i = 0; i < nonzero; i++) {
    int place = pass[chosen[where[i] % flagged]], coefficient = bands[band].coefficient[where[i] / flagged];
    put(place, band, coefficient, levels[i]);
    note(place, coefficient, levels[i]);
  }
}

// Whether each square of 2x2 blocks is coded, in two passes; coded: (frames, height/2, width/2).
static void read_squares(uint8_t *coded, const int32_t *fresh, const uint8_t *mode, const int32_t *change,
                         const int32_t *level) {
  int rows = height / 2, columns = width / 2;
  for (int parity = 0; parity < 2; parity++) {
    uint32_t count = 0;
    for (int f = 0; f < frames; f++) {
      for (int y = 0; y < rows; y++) {
        for (int x = (y + parity) & 1; x < columns; x += 2) {
          int16_t found[14];
          const uint8_t *here = coded + ((size_t)f * rows + y) * columns + x;
          int32_t total = 0, most = 0, new = 0, apart = 0, both = 0, neither = 0, dc = 0, low = 0, logit;
          for (int i = 0; i < 4; i++) {
            size_t place = ((size_t)f * height + 2 * y + (i >> 1)) * width + 2 * x + (i & 1);
            const int32_t *seen = activity + place * 2 * BANDS;
            int32_t own = 0;
            for (int b = 0; b < 2 * BANDS; b++) own += seen[b];
            total += own;
            if (own > most) most = own;
            new += fresh[place];
            if (change[place] > apart) apart = change[place];
            both += mode[place] == 2;
            neither += mode[place] == 3;
            dc += sums[(size_t)flat[place] * SUMS];
            low += seen[0] + seen[1] + seen[BANDS] + seen[BANDS + 1];
          }
          found[0] = ON / 2 * ((x ? here[-1] : 0) + (x + 1 < columns ? here[1] : 0));
          found[1] = ON / 2 * ((y ? here[-columns] : 0) + (y + 1 < rows ? here[columns] : 0));
          found[2] = logarithm(total), found[3] = logarithm(most);
          found[4] = logarithm(new), found[5] = logarithm(apart);
          found[6] = 16 * both, found[7] = 16 * neither;
          found[8] = 24 * level[f], found[9] = quality, found[10] = parity * ON;
          found[11] = logarithm(dc), found[12] = logarithm(low), found[13] = level[f] ? 0 : ON;
          infer(&skip_network, found, 7, 12, 1, 0, &logit);
          where[count] = (uint32_t)(here - coded);
          chances[count++] = chance(logit);
        }
      }
    }
    read_bits(chances, count, bits);
    for (uint32_t i = 0; i < count; i++) coded[where[i]] = bits[i];
  }
}

static void clear(void *at, size_t bytes) { __builtin_memset(at, 0, bytes); }

// How many bytes `residual` needs at `memory`, without its events, which follow and may need more.
EXPORT(residual_bytes) size_t residual_bytes(int count, int h, int w) {
  size_t blocks = (size_t)count * h * w, padded = (size_t)count * (h + 2) * (w + 2), pass = (blocks + 1) / 2 * 108 + 64;
  return padded * (STRIDE * 2 + SUMS * 4) + blocks * (8 + 4 + 8 + FEATURES * 2 + 4) + pass * (2 + 1 + 2 + 2 + 12 + 2) + 1024;
}

// Read a batch. seen: (blocks, 2, 12). fresh, change: (blocks,). mode: (blocks,) bytes. level: (count,).
// means: (3, h * w) of a key frame, else null. totals: (count, 12, h * w), written. Returns the number of events.
EXPORT(residual)
uint32_t residual(uint8_t *memory, int count, int h, int w, int q, const int32_t *seen, const int32_t *fresh,
                  const uint8_t *mode, const int32_t *change, const int32_t *level, const int32_t *means,
                  int32_t *totals) {
  frames = count, height = h, width = w, row_of = w + 2, quality = q, activity = seen;
  size_t area = (size_t)h * w, blocks = count * area, padded = (size_t)count * (h + 2) * (w + 2);
  size_t pass = (blocks + 1) / 2 * 108 + 64;
  arena = memory;
  magnitudes = take(padded * STRIDE * 2);
  sums = take(padded * SUMS * 4);
  known = take(blocks * 8);
  flat = take(blocks * 4);
  places = take(blocks * 8);
  features = take(blocks * FEATURES * 2);
  chosen = take(blocks * 4);
  chances = take(pass * 2);
  bits = take(pass);
  above = take(pass * 2);
  more = take(pass * 2);
  where = take(pass * 12);
  levels = take(pass * 2);
  events = (Event *)arena;
  event_count = 0;
  clear(magnitudes, padded * STRIDE * 2);
  clear(sums, padded * SUMS * 4);
  for (size_t place = 0; place < blocks; place++) {
    int f = (int)(place / area), y = (int)(place % area) / w, x = (int)(place % area) % w;
    flat[place] = (f * (h + 2) + y + 1) * (w + 2) + x + 1;
    int32_t total = 0;
    for (int b = 0; b < 2 * BANDS; b++) total += seen[place * 2 * BANDS + b];
    uint8_t *about = known + place * 8;
    about[0] = logarithm(total), about[1] = logarithm(change[place]);
    about[2] = ON * (mode[place] == 2), about[3] = ON * (mode[place] == 3);
    about[4] = 24 * level[f], about[5] = q, about[6] = ON * ((y + x) & 1);
  }
  if (means) {
    make_room(3 * area);
    for (int plane = 0; plane < 3; plane++) {
      for (size_t place = 0; place < area; place++) {
        int32_t value = means[plane * area + place];
        put((int)place, plane ? 2 : 0, plane * 64, value);
        if (value) note((int)place, plane * 64, value);
      }
    }
  }
  uint8_t *coded = (uint8_t *)chosen;  // which is free until the bands
  clear(coded, blocks / 4);
  read_squares(coded, fresh, mode, change, level);
  uint32_t lengths[2] = {0, 0};
  int32_t *lists[2] = {places, places + blocks};
  for (size_t place = 0; place < blocks; place++) {
    int f = (int)(place / area), y = (int)(place % area) / w, x = (int)(place % area) % w;
    if (coded[((size_t)f * (h / 2) + y / 2) * (w / 2) + x / 2]) {
      int parity = (y + x) & 1;
      lists[parity][lengths[parity]++] = (int32_t)place;
    }
  }
  for (int band = 0; band < BANDS; band++) {
    if (means && (band == 0 || band == 2)) continue;
    for (int parity = 0; parity < 2; parity++) {
      if (lengths[parity]) read_band(band, lists[parity], lengths[parity]);
    }
  }
  for (size_t place = 0; place < blocks; place++) {
    const int32_t *total = sums + (size_t)flat[place] * SUMS;
    int32_t *out = totals + place / area * BANDS * area + place % area;
    for (int b = 0; b < BANDS; b++) out[b * area] = total[b];
  }
  return event_count;
}
