#include "core/io/text.h"

#include <stdlib.h>
#include <string.h>

/* Length of the character that starts here and its number; 0: not UTF-8. */
static int decode(const unsigned char *p, unsigned *code)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    const int n = p[0] < 0x80             ? 1
                  : (p[0] & 0xe0) == 0xc0 ? 2
                  : (p[0] & 0xf0) == 0xe0 ? 3
                  : (p[0] & 0xf8) == 0xf0 ? 4
                                          : 0;

    if (n == 0) return 0;
    *code = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (int i = 1; i < n; i++) { /* the last zero byte ends this too */
        if ((p[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (p[i] & 0x3f);
    }
    if (*code < least[n] || *code > 0x10ffff) return 0;
    return *code >= 0xd800 && *code < 0xe000 ? 0 : n;
}

bool weft_utf8_valid(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned code;

    while (*p) {
        const int n = decode(p, &code);

        if (n == 0) return false;
        p += n;
    }
    return true;
}

static bool latin1_prints(unsigned code)
{
    return code == '\n' || (code >= 0x20 && code < 0x7f) ||
           (code >= 0xa0 && code <= 0xff);
}

char *weft_utf8_to_latin1(const char *text, bool *fits)
{
    const unsigned char *p = (const unsigned char *)text;
    char *latin1 = malloc(strlen(text) + 1), *q = latin1;

    *fits = true;
    if (latin1 == NULL) return NULL;
    while (*p) {
        unsigned code = 0;
        const int n = decode(p, &code);

        if (n == 0 || !latin1_prints(code)) {
            *fits = false;
            free(latin1);
            return NULL;
        }
        *q++ = (char)code;
        p += n;
    }
    *q = '\0';
    return latin1;
}

char *weft_latin1_to_utf8(const char *text)
{
    char *utf8 = malloc(2 * strlen(text) + 1), *q = utf8;

    if (utf8 == NULL) return NULL;
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;

        if (c >= 0x80) *q++ = (char)(0xc0 | c >> 6);
        *q++ = c < 0x80 ? (char)c : (char)(0x80 | (c & 0x3f));
    }
    *q = '\0';
    return utf8;
}
