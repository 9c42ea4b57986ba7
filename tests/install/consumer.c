/* A program elsewhere that uses the installed core library. */
#include <core/exchange.h>
#include <core/model/json.h>
#include <core/status.h>

#include <stdio.h>

int main(void)
{
    const int first[] = {0, 4};
    weft_exchange x;
    const weft_status s =
        weft_exchange_init(&x, &weft_solo, &(weft_cut){.n = 1, .first = first},
                           (weft_schedule){0});

    printf("%s\n", s == WEFT_OK ? "weft core is here" : weft_fail_text());
    weft_exchange_release(&x);
    return weft_exit_code(s);
}
