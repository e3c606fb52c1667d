// Tables that the page computes once, in exact integers of any size, and writes here.
#include "common.h"

uint16_t probability[4095];
uint8_t log_table[1024];
int32_t run_table[33 * 15];

EXPORT(probability_table) uint16_t *probability_table(void) { return probability; }
EXPORT(logarithm_table) uint8_t *logarithm_table(void) { return log_table; }
EXPORT(geometric_table) int32_t *geometric_table(void) { return run_table; }
