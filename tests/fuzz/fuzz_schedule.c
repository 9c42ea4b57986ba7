/*
 * A scheduler_config.json, read for every solver.
 */
#include <stdint.h>

#include "core/model/json.h"
#include "core/solve/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    for (int kind = 0; kind < WEFT_SOLVERS; kind++) {
        weft_noise_schedule s;
        weft_json *json;

        if (weft_json_parse("a.json", data, bytes, &json) != WEFT_OK) return 0;
        if (weft_noise_schedule_read(json, NULL, (weft_solver_kind)kind, &s) ==
            WEFT_OK)
            weft_noise_schedule_release(&s);
        weft_json_free(json);
    }
    return 0;
}
