// Where the page may put what it hands over.
#include "common.h"

extern uint8_t __heap_base;

EXPORT(heap_base) uint8_t *heap_base(void) { return &__heap_base; }
