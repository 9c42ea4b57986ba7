/*
 * must.h - what a test cannot go on without. After <cmocka.h>.
 */
#ifndef WEFT_TESTS_MUST_H
#define WEFT_TESTS_MUST_H

#include "core/status.h"

/* Ends the test, with the failure's own words. */
static inline void must(weft_status st)
{
    if (st != WEFT_OK) fail_msg("%s", weft_fail_text());
}

#endif
