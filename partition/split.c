#include "partition/split.h"

weft_status weft_split_rows(int rows, int unit, int n, int *first)
{
    const int units = unit > 0 ? rows / unit : 0;
    int even, more;

    if (unit < 1 || rows < 1 || rows % unit)
        return weft_fail(WEFT_EINPUT,
                         "%d latent rows are not a multiple of the grain %d",
                         rows, unit);
    if (n < 1 || n > units)
        return weft_fail(WEFT_EINPUT,
                         "%d ranks for one image, but its %d latent rows make "
                         "only %d patches of %d rows: use at most %d ranks, or "
                         "parallel.patches",
                         n, rows, units, unit, units);
    even = units / n, more = units % n;
    first[0] = 0;
    for (int p = 0; p < n; p++)
        first[p + 1] = first[p] + even + (p >= n - more);
    return WEFT_OK;
}
