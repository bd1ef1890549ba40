/* What the memory of this machine allows: read every event, change eight bytes somewhere. */
#include <stdint.h>

int64_t limit(int64_t n, const uint8_t *op, const int32_t *task, const int32_t *at,
              const int32_t *count, uint64_t *cells)
{
    int64_t same = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t cell = cells[at[i]];
        same += (cell >> 32) == (uint32_t)task[i];
        cells[at[i]] = (uint64_t)task[i] << 32 | (uint32_t)cell | 1u << (op[i] + count[i] & 31);
    }
    return same;
}

/* libcachesim's reader by itself: no cache behind it. */
typedef int (*read_one)(void *reader, void *request);

int64_t stream(read_one read, void *reader, void *request)
{
    int64_t n = 0;
    while (read(reader, request) == 0)
        n++;
    return n;
}
