/*
 * status.h - how failure travels.
 *
 * A function that can fail returns a weft_status. The first to know the cause
 * calls weft_fail() with a sentence a user can act on (lower case, no full
 * stop, file and place first: "a.safetensors: header is 12 bytes short");
 * everybody above forwards with WEFT_TRY. Outputs are written only on success.
 *
 * The text lives in the calling thread until the next weft_fail() there.
 */
#ifndef WEFT_CORE_STATUS_H
#define WEFT_CORE_STATUS_H

typedef enum weft_status {
    WEFT_OK = 0,
    WEFT_EINPUT, /* yours: usage, config or a file that is not right; exit 2 */
    WEFT_ENOMEM, /* the world's: out of memory */
    WEFT_EIO,    /* the world's: disk, permissions, vanished files */
    WEFT_ECOMM,  /* the world's: the network or a peer */
    WEFT_ENAN,   /* the numbers went wrong: not-a-number in a step */
} weft_status;

#if defined __GNUC__
#define WEFT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define WEFT_PRINTF(fmt, args)
#endif

/* Remember the cause and return `status`. Text beyond 2047 bytes is cut. */
weft_status weft_fail(weft_status status, const char *fmt, ...)
    WEFT_PRINTF(2, 3);

/* Put "prefix: " before the text of a failure on its way up. */
weft_status weft_fail_within(weft_status status, const char *fmt, ...)
    WEFT_PRINTF(2, 3);

/* The calling thread's last cause; "" if nothing failed. */
const char *weft_fail_text(void);

/* Exit code of a process that ends with this status: 0, 1 or 2. */
int weft_exit_code(weft_status status);

/* Our own mistake: print, abort. Never for what a user or a file can cause. */
_Noreturn void weft_bug(const char *file, int line, const char *what);

#define WEFT_BUG(what)  weft_bug(__FILE__, __LINE__, what)
#define WEFT_MUST(cond) ((cond) ? (void)0 : WEFT_BUG("not true: " #cond))

#define WEFT_TRY(expr)                                                         \
    do {                                                                       \
        const weft_status weft_try_ = (expr);                                  \
        if (weft_try_ != WEFT_OK) return weft_try_;                            \
    } while (0)

#endif
